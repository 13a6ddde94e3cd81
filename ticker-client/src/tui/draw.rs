//! The whole screen: a line that says how things are, the table, and a line for the keys, for what
//! has to be said, or for the prompt. Any size will do, down to one character.

use std::time::Duration;

use proto::{ServerAddress, text::one_line};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget, Wrap},
};

use super::{
    help::Help,
    prompt::Prompt,
    screen::{Open, Screen},
    table,
    theme::Theme,
};
use crate::{
    format::{age, grouped},
    watchlist::{Link, Moment, Watchlist},
};

/// The most lines that an error under the prompt takes, or what has to be said in the footer.
const MAX_WRAPPED_LINES: u16 = 4;

/// No help is wider.
const HELP_WIDTH: u16 = 54;

/// The height from which on a long notice gets more lines than one.
const HIGH: u16 = 10;

/// Draws all of it, and remembers how long a page is.
pub(super) fn draw(
    frame: &mut Frame,
    screen: &mut Screen,
    server: &ServerAddress,
    now: Moment,
    theme: Theme,
) {
    let area = frame.area();
    let bottom_lines = match &screen.open {
        Open::Prompt(prompt) => 1 + error_lines(prompt, area.width),
        Open::Table | Open::Help | Open::Question(_) if area.height >= HIGH => {
            footer_words(screen, now).map_or(1, |words| wrapped_lines(&words, area.width))
        }
        // Of a very low screen, the rows are the last to go, unless an answer is waited for.
        Open::Question(_) => 1,
        Open::Table | Open::Help => u16::from(area.height >= 3),
    };
    let (area, bottom) = split_bottom(area, bottom_lines);
    let (header, table) = match area.height {
        0 | 1 => (None, area),
        _ => {
            let (table, header) = split_bottom(area, area.height - 1);
            (Some(table), header)
        }
    };
    if let Some(line) = header {
        draw_header(frame.buffer_mut(), line, &screen.list, server, now, theme);
    }
    screen.page = table::rows_of(table.height).max(1);
    let visible = table::draw(
        frame.buffer_mut(),
        table,
        &mut screen.list,
        &screen.alerts,
        now,
        theme,
    );
    if screen.list.is_empty() {
        let (_, rows) = split_bottom(table, table.height.saturating_sub(1).max(1));
        let text = Line::raw("  No symbols. Press a to add some.");
        text.render(rows, frame.buffer_mut());
    }
    match &screen.open {
        Open::Prompt(prompt) => draw_prompt(frame, bottom, prompt),
        Open::Table | Open::Help | Open::Question(_) => {
            let words = footer_words(screen, now);
            draw_footer(frame.buffer_mut(), bottom, &screen.list, words, visible);
        }
    }
    if matches!(screen.open, Open::Help) {
        draw_help(frame.buffer_mut(), area, &mut screen.help);
    }
}

/// What has to be said at the foot of the screen, or asked.
fn footer_words(screen: &Screen, now: Moment) -> Option<String> {
    let (Open::Question(edits), Some(file)) = (&screen.open, &screen.file) else {
        return screen.list.notice(now);
    };
    let file = one_line(&file.display().to_string());
    let what = edits.what();
    Some(format!("Keep the {what}? y/n, Esc: stay  ({file})"))
}

/// All but the last `lines`, and these.
fn split_bottom(area: Rect, lines: u16) -> (Rect, Rect) {
    let lines = lines.min(area.height);
    let top = Rect {
        height: area.height - lines,
        ..area
    };
    let bottom = Rect {
        y: area.y + top.height,
        height: lines,
        ..area
    };
    (top, bottom)
}

/// A part of a line that is shown if there is room for it.
struct Part {
    text: String,
    style: Style,
    /// The part with the greatest is the first to be left out.
    rank: u8,
}

impl Part {
    fn new(rank: u8, text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            rank,
        }
    }
}

/// The parts that fit beside each other, two blanks between them.
fn line_of(mut parts: Vec<Part>, width: u16) -> Line<'static> {
    let needed = |parts: &[Part]| {
        let widths = parts.iter().map(|part| Span::raw(&part.text).width() + 2);
        widths.sum::<usize>().saturating_sub(2)
    };
    while parts.len() > 1 && needed(&parts) > width.into() {
        let least = parts.iter().enumerate().max_by_key(|(_, part)| part.rank);
        let least = least.map_or(0, |(place, _)| place);
        parts.remove(least);
    }
    let mut line = Line::default();
    for part in parts {
        if !line.spans.is_empty() {
            line.push_span("  ");
        }
        line.push_span(Span::styled(part.text, part.style));
    }
    line
}

fn draw_header(
    buffer: &mut Buffer,
    area: Rect,
    list: &Watchlist,
    server: &ServerAddress,
    now: Moment,
    theme: Theme,
) {
    let mut parts = vec![Part::new(3, server.to_string(), Style::new())];
    let since = |then: Duration| age(now.since_start.saturating_sub(then));
    match list.link() {
        Link::Connecting => parts.push(Part::new(1, "connecting …", Theme::notice())),
        Link::Connected => parts.push(Part::new(1, "connected", theme.connected())),
        Link::Lost {
            since: then,
            retry_at,
            ..
        } => {
            parts.push(Part::new(0, format!("LOST {}", since(*then)), theme.lost()));
            let left = retry_at.saturating_sub(now.since_start);
            let next = match left.is_zero() {
                true => "trying again …".to_owned(),
                // Rounded up: at "1s" it is not over yet.
                false => format!("next try in {}s", left.as_secs_f64().ceil()),
            };
            parts.push(Part::new(1, next, Theme::notice()));
        }
    }
    if let Some((then, updates)) = list.frozen() {
        let frozen = Modifier::REVERSED | Modifier::BOLD;
        let frozen = Style::new().add_modifier(frozen);
        parts.push(Part::new(2, format!("FROZEN {}", since(then)), frozen));
        let left_out = counted(updates, "update") + " since";
        parts.push(Part::new(4, left_out, Style::new()));
    }
    match list.link() {
        // The reason takes what is left of the line.
        Link::Lost { why, .. } => {
            let mut line = line_of(parts, area.width);
            let left = usize::from(area.width).saturating_sub(line.width() + 2);
            if left >= 10 {
                line.push_span("  ");
                line.push_span(cut(why, left));
            }
            line.render(area, buffer);
        }
        Link::Connecting | Link::Connected => {
            let symbols = counted(list.len() as u64, "symbol");
            parts.push(Part::new(5, symbols, Style::new()));
            if list.frozen().is_none() {
                let updates = counted(list.updates(), "update");
                parts.push(Part::new(6, updates, Style::new()));
            }
            line_of(parts, area.width).render(area, buffer);
        }
    }
}

/// `1 update`, `2 updates`.
fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {what}{ending}", grouped(count))
}

/// The beginning of a text, with a mark where it does not end.
fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if Span::raw(&cut).width() >= width {
            cut.pop();
            break;
        }
    }
    cut + "…"
}

fn draw_footer(
    buffer: &mut Buffer,
    area: Rect,
    list: &Watchlist,
    words: Option<String>,
    visible: std::ops::Range<usize>,
) {
    if area.is_empty() {
        return;
    }
    let mut place = String::new();
    if visible.len() < list.len() {
        place = format!("{}-{}/{}", visible.start + 1, visible.end, list.len());
    }
    let left = Rect {
        width: area.width.saturating_sub(place.len() as u16 + 2),
        ..area
    };
    if let Some(notice) = words {
        if area.height > 1 {
            let room = usize::from(area.width) * usize::from(area.height) * 4 / 5;
            let notice = Paragraph::new(cut(&notice, room)).wrap(Wrap { trim: true });
            notice.style(Theme::notice()).render(area, buffer);
            return;
        }
        let width = if place.is_empty() { area } else { left }.width;
        let notice = cut(&notice, width.into());
        Line::styled(notice, Theme::notice()).render(area, buffer);
    } else {
        let key = |rank: u8, key: &str, does: &str| {
            Part::new(rank, format!("{key} {does}"), Style::new())
        };
        let parts = vec![
            key(2, "a", "add"),
            key(3, "d", "drop"),
            key(7, "↑↓", "select"),
            key(4, "e", "alerts"),
            key(5, "s", "sort"),
            key(8, "r", "reverse"),
            key(
                6,
                "f",
                if list.frozen().is_some() {
                    "go on"
                } else {
                    "freeze"
                },
            ),
            key(0, "?", "help"),
            key(1, "q", "quit"),
        ];
        line_of(parts, left.width).render(left, buffer);
    }
    Line::raw(place).right_aligned().render(area, buffer);
}

fn error_lines(prompt: &Prompt, width: u16) -> u16 {
    prompt
        .error()
        .map_or(0, |error| wrapped_lines(error, width))
}

/// How many lines a text gets.
fn wrapped_lines(text: &str, width: u16) -> u16 {
    let width = usize::from(width.max(1));
    let chars = Span::raw(text).width();
    if chars <= width {
        return 1;
    }
    // Words that do not fit break lines early: a quarter more than the text alone needs.
    let lines = (chars * 5 / 4).div_ceil(width);
    u16::try_from(lines)
        .unwrap_or(u16::MAX)
        .min(MAX_WRAPPED_LINES)
}

fn draw_prompt(frame: &mut Frame, area: Rect, prompt: &Prompt) {
    if area.is_empty() {
        return;
    }
    let line = Rect { height: 1, ..area };
    let (before, after) = prompt.halves();
    // Half of the line is for what is typed.
    let label = prompt.label();
    let label = match label.len() * 2 <= line.width.into() {
        true => &*label,
        false => "> ",
    };
    // The end of what stands before the cursor is what must be seen.
    let room = usize::from(line.width).saturating_sub(label.len() + 1);
    let mut shown = before.as_str();
    while Span::raw(shown).width() > room {
        let mut chars = shown.chars();
        chars.next();
        shown = chars.as_str();
    }
    let x = label.len() + Span::raw(shown).width();
    let text = format!("{label}{shown}{after}");
    let hint = prompt.hint();
    let buffer = frame.buffer_mut();
    Line::styled(text.clone(), Theme::notice()).render(line, buffer);
    if Span::raw(&text).width() + 2 + hint.len() <= line.width.into() {
        Line::raw(hint).right_aligned().render(line, buffer);
    }
    if let Some(error) = prompt.error() {
        let rest = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        let error = Paragraph::new(error).wrap(Wrap { trim: true });
        error.render(rest, buffer);
    }
    let x = u16::try_from(x).unwrap_or(u16::MAX).min(line.width - 1);
    frame.set_cursor_position(Position::new(line.x + x, line.y));
}

/// In a window, or where that would take half of the room, in all of it.
fn draw_help(buffer: &mut Buffer, area: Rect, help: &mut Help) {
    let is_framed = area.height >= 5 && area.width >= 20;
    let frame = if is_framed { 2 } else { 0 };
    let width = match is_framed {
        true => HELP_WIDTH.min(area.width),
        false => area.width,
    };
    let inner = usize::from(area.height.saturating_sub(frame));
    let (shown, top, count) = help.visible(usize::from(width - frame), inner);
    let height = shown.len() as u16 + frame;
    let window = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let end = top + shown.len();
    Clear.render(window, buffer);
    let lines: Vec<_> = shown.into_iter().map(Line::raw).collect();
    let text = Paragraph::new(lines);
    if !is_framed {
        return text.render(window, buffer);
    }
    let keys = match end - top == count {
        true => " Esc: close ".to_owned(),
        false => format!(" {}-{end}/{count}  ↑↓ scroll, Esc: close ", top + 1),
    };
    let block = Block::bordered().title(" Keys ").title_bottom(keys);
    text.block(block).render(window, buffer);
}

#[cfg(test)]
mod tests;

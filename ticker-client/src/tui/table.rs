//! The table of quotes: which columns there is room for, and the visible rows' text.
//!
//! Only what is visible is formatted: a list of a thousand costs what a screenful costs.

use std::{iter, ops::Range};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::theme::Theme;
use crate::{
    alert::Alerts,
    format::{self, Direction},
    watchlist::{Age, HISTORY_POINTS, Moment, Quote, Row, Sort, SortBy, Watchlist},
};

/// The mark of a row: `!` while an alert holds, `>` for the selected one.
const MARK_WIDTH: u16 = 2;

/// The least that a trend is worth showing in, and the most that is known of it.
const TREND_WIDTHS: Range<u16> = 4..HISTORY_POINTS as u16;

/// The least that a name is worth showing in, and the most that it gets.
const NAME_WIDTHS: Range<u16> = 10..26;

/// The width of a price with its mark, and what is left of a symbol beside it on a narrow screen.
const LAST_WIDTH: u16 = 10;
const CUT_SYMBOL_WIDTH: u16 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Symbol,
    Name,
    Last,
    Change,
    Percent,
    Bid,
    Ask,
    Volume,
    Trend,
    Age,
}

/// From left to right.
const COLUMNS: [Column; 10] = [
    Column::Symbol,
    Column::Name,
    Column::Last,
    Column::Change,
    Column::Percent,
    Column::Bid,
    Column::Ask,
    Column::Volume,
    Column::Trend,
    Column::Age,
];

/// What is left out where there is no room, in this order. The symbol and its price always stay.
const LEFT_OUT: [&[Column]; 7] = [
    &[Column::Name],
    &[Column::Trend],
    &[Column::Bid, Column::Ask],
    &[Column::Volume],
    &[Column::Change],
    &[Column::Age],
    &[Column::Percent],
];

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Symbol => "Symbol",
            Self::Name => "Name",
            Self::Last => "Last",
            Self::Change => "Change",
            Self::Percent => "%",
            Self::Bid => "Bid",
            Self::Ask => "Ask",
            Self::Volume => "Vol",
            Self::Trend => "Trend",
            Self::Age => "Age",
        }
    }

    fn sorts(self) -> Option<SortBy> {
        match self {
            Self::Symbol => Some(SortBy::Symbol),
            Self::Last => Some(SortBy::Last),
            Self::Change => Some(SortBy::Change),
            Self::Percent => Some(SortBy::Percent),
            Self::Volume => Some(SortBy::Volume),
            Self::Name | Self::Bid | Self::Ask | Self::Trend | Self::Age => None,
        }
    }

    /// The least width; the name and then the trend take what is left of the line.
    fn width(self, longest: Longest) -> u16 {
        match self {
            Self::Symbol => longest.symbol.clamp(7, 12) as u16,
            Self::Name => NAME_WIDTHS.start,
            Self::Last => LAST_WIDTH,
            Self::Change | Self::Percent => 8,
            Self::Bid | Self::Ask => 9,
            Self::Volume => 6,
            Self::Trend => TREND_WIDTHS.start,
            Self::Age => 4,
        }
    }

    fn is_left_aligned(self) -> bool {
        matches!(self, Self::Symbol | Self::Name | Self::Trend)
    }
}

/// The lengths of the longest texts in columns whose width depends on them.
#[derive(Debug, Clone, Copy)]
struct Longest {
    symbol: usize,
    /// 0: nothing has a name.
    name: usize,
}

/// A column that there is room for.
#[derive(Debug, Clone, Copy)]
struct Place {
    column: Column,
    /// From the left of the table.
    x: u16,
    width: u16,
}

/// The columns that fit into `width`, and where they stand.
fn places(width: u16, longest: Longest) -> Vec<Place> {
    let mut columns = COLUMNS.to_vec();
    let needed = |columns: &[Column]| -> u16 {
        let widths = columns.iter().map(|column| column.width(longest) + 1);
        MARK_WIDTH + widths.sum::<u16>() - 1
    };
    for left_out in LEFT_OUT {
        let is_empty = longest.name == 0 && left_out == [Column::Name];
        if needed(&columns) <= width && !is_empty {
            break;
        }
        columns.retain(|column| !left_out.contains(column));
    }
    let (mut spare, missing) = match needed(&columns) {
        needed if needed > width => (0, needed - width),
        needed => (width - needed, 0),
    };
    let mut x = MARK_WIDTH;
    let place = |column: Column| {
        let full = column.width(longest);
        // A symbol can be guessed from its beginning, a price cannot.
        let cut = missing.min(Column::Symbol.width(longest) - CUT_SYMBOL_WIDTH);
        let width = match column {
            Column::Name => {
                let wanted = longest.name.clamp(full.into(), NAME_WIDTHS.end.into()) as u16;
                let width = (full + spare).min(wanted);
                spare -= width - full;
                width
            }
            Column::Trend => (full + spare).min(TREND_WIDTHS.end),
            Column::Symbol => full - cut,
            Column::Last => full.saturating_sub(missing - cut).max(2),
            _ => full,
        };
        let place = Place { column, x, width };
        x += width + 1;
        place
    };
    columns.into_iter().map(place).collect()
}

/// What a row is drawn with, beside itself.
struct Context<'a> {
    places: &'a [Place],
    alerts: &'a Alerts,
    now: Moment,
    theme: Theme,
}

/// Draws the titles and the rows into `area`, and says which rows these are.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    list: &mut Watchlist,
    alerts: &Alerts,
    now: Moment,
    theme: Theme,
) -> Range<usize> {
    let context = Context {
        places: &places(
            area.width,
            Longest {
                symbol: list.longest_symbol(),
                name: list.longest_name(),
            },
        ),
        alerts,
        now,
        theme,
    };
    // Where there is no room for both, a row says more than its titles.
    let rows = match area.height {
        0 | 1 => area,
        _ => {
            let [titles, rows] = split_first_line(area);
            draw_titles(buffer, titles, list.sort(), context.places);
            rows
        }
    };
    let visible = list.scroll(rows.height.into());
    for (row, line) in iter::zip(list.rows(visible.clone()), rows.rows()) {
        draw_row(buffer, line, list, row, &context);
    }
    visible
}

fn draw_titles(buffer: &mut Buffer, line: Rect, sort: Sort, places: &[Place]) {
    for place in places {
        let mut title = place.column.title().to_owned();
        if title.len() > place.width.into() {
            title.clear();
        }
        if place.column.sorts() == Some(sort.by) {
            title.push(if sort.descending { '↓' } else { '↑' });
        }
        write(buffer, line, *place, &title, Style::new());
    }
    let titles = Modifier::BOLD | Modifier::UNDERLINED;
    buffer.set_style(line, Style::new().add_modifier(titles));
}

/// How many rows a table of this height shows.
pub(super) fn rows_of(height: u16) -> usize {
    match height {
        0 | 1 => height.into(),
        _ => usize::from(height) - 1,
    }
}

fn split_first_line(area: Rect) -> [Rect; 2] {
    let first = Rect { height: 1, ..area };
    let rest = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    [first, rest]
}

#[cfg(test)]
thread_local! {
    /// How many rows were formatted on this thread, for the test that counts them.
    pub(super) static ROWS_FORMATTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn draw_row(buffer: &mut Buffer, line: Rect, list: &Watchlist, row: &Row, context: &Context) {
    #[cfg(test)]
    ROWS_FORMATTED.set(ROWS_FORMATTED.get() + 1);
    let alarmed = list.is_alarmed(row.symbol(), context.now);
    let selected = list.is_selected(row);
    let mark = match alarmed || context.alerts.is_on(row.symbol().as_str()) {
        true => "!",
        false if selected => ">",
        false => " ",
    };
    buffer.set_stringn(line.x, line.y, mark, line.width.into(), Style::new());
    let is_old = row.quote().is_some_and(|quote| !quote.is_current());
    for place in context.places {
        let text = text(place, row, context.now);
        let style = match (place.column, row.quote()) {
            _ if is_old => Theme::old(),
            (Column::Last | Column::Change | Column::Percent, Some(quote)) => {
                context.theme.direction(direction(quote))
            }
            _ => Style::new(),
        };
        write(buffer, line, *place, &text, style);
    }
    if alarmed {
        buffer.set_style(line, context.theme.alarm());
    }
    if selected {
        buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
    }
}

fn direction(quote: &Quote) -> Direction {
    let update = quote.update();
    Direction::of(
        &update.ticker_symbol,
        update.price_change,
        update.current_price,
    )
}

fn text(place: &Place, row: &Row, now: Moment) -> String {
    let Some(quote) = row.quote() else {
        return match place.column {
            Column::Symbol => row.symbol().to_string(),
            Column::Name => row.name().to_owned(),
            Column::Last => "…".to_owned(),
            _ => String::new(),
        };
    };
    let width = place.width.into();
    let update = quote.update();
    let symbol = row.symbol().as_str();
    let book = |price: Option<f64>| price.map(|price| format::price(symbol, price, width));
    match place.column {
        Column::Symbol => symbol.to_owned(),
        Column::Name => row.name().to_owned(),
        Column::Last => {
            let price = format::price(symbol, update.current_price, width - 1);
            format!("{}{price:>1$}", direction(quote).mark(), width - 1)
        }
        Column::Change => format::change(symbol, update.price_change, update.current_price, width),
        Column::Percent => format::percent(update.change_percent, width),
        Column::Bid => book(quote.bid()).unwrap_or_default(),
        Column::Ask => book(quote.ask()).unwrap_or_default(),
        Column::Volume => format::count(quote.volume()),
        Column::Trend => format::trend(row.history(), width),
        Column::Age => match quote.age(now) {
            Age::Exactly(age) => format::age(age),
            Age::AtLeast(age) => format::least_age(age),
        },
    }
}

/// Text that is cut is marked, a number that does not fit is not shown at all: one that has lost its
/// end would be another. But for names, all text here is of characters that are one column wide.
fn write(buffer: &mut Buffer, line: Rect, place: Place, text: &str, style: Style) {
    if place.x >= line.width {
        return;
    }
    let width = usize::from(place.width.min(line.width - place.x));
    let chars = text.chars().count();
    let text = match place.column.is_left_aligned() {
        true if chars > width => {
            let start: String = text.chars().take(width.saturating_sub(1)).collect();
            start + "…"
        }
        true => format!("{text:<width$}"),
        false if chars > width => "#".repeat(width),
        false => format!("{text:>width$}"),
    };
    buffer.set_stringn(line.x + place.x, line.y, text, width, style);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMELESS: Longest = Longest { symbol: 5, name: 0 };

    fn shown(width: u16, longest: Longest) -> Vec<Column> {
        let places = places(width, longest);
        places.into_iter().map(|place| place.column).collect()
    }

    #[test]
    fn all_columns_but_the_name_fit_into_eighty_characters_whatever_the_symbols() {
        let nameless: Vec<_> = COLUMNS.into_iter().filter(|c| *c != Column::Name).collect();
        for symbol in 0..=12 {
            for name in [0, 30] {
                assert_eq!(shown(80, Longest { symbol, name }), nameless);
            }
        }
    }

    #[test]
    fn a_name_has_the_room_that_is_left_and_the_trend_what_it_leaves() {
        let width_of = |width: u16, name: usize, column: Column| {
            let places = places(width, Longest { symbol: 5, name });
            let place = places.into_iter().find(|place| place.column == column);
            place.map(|place| place.width)
        };
        assert_eq!(width_of(85, 30, Column::Name), None);
        assert_eq!(width_of(86, 30, Column::Name), Some(10));
        assert_eq!(width_of(96, 30, Column::Name), Some(20));
        assert_eq!(width_of(96, 15, Column::Name), Some(15));
        assert_eq!(width_of(96, 15, Column::Trend), Some(9));
        assert_eq!(width_of(200, 40, Column::Name), Some(26));
        assert_eq!(width_of(200, 40, Column::Trend), Some(30));
        assert_eq!(width_of(200, 0, Column::Name), None);
    }

    #[test]
    fn columns_go_in_their_order_and_the_price_never() {
        let longest = Longest { symbol: 5, name: 9 };
        let mut before = shown(100, longest);
        let mut gone: Vec<Column> = Vec::new();
        for width in (0..100).rev() {
            let columns = shown(width, longest);
            gone.extend(before.iter().filter(|column| !columns.contains(column)));
            before = columns;
        }
        let expected: Vec<Column> = LEFT_OUT.concat();
        assert_eq!(gone, expected);
        assert_eq!(before, [Column::Symbol, Column::Last]);
        assert!(!shown(100, NAMELESS).contains(&Column::Name));
    }

    #[test]
    fn columns_neither_overlap_nor_go_over_the_edge() {
        for width in 9..300 {
            for (symbol, name) in [(1, 0), (12, 0), (1, 60), (12, 9)] {
                let places = places(width, Longest { symbol, name });
                let mut x = MARK_WIDTH;
                for place in &places {
                    assert_eq!(place.x, x, "{place:?}");
                    x += place.width + 1;
                }
                assert!(x - 1 <= width, "{width}: {places:?}");
            }
        }
    }
}

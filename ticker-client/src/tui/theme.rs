//! What stands out, and how: by colour where it is wanted, and always also without.

use ratatui::style::{Color, Modifier, Style};

use crate::format::Direction;

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Theme {
    pub(super) colour: bool,
}

impl Theme {
    /// As the environment wants it.
    pub(super) fn of_environment() -> Self {
        Self {
            colour: output::colour(true),
        }
    }

    fn coloured(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// A price that rose or fell; its mark and its sign say it too.
    pub(super) fn direction(self, direction: Direction) -> Style {
        match direction {
            Direction::Up => self.coloured(Color::Green),
            Direction::Down => self.coloured(Color::Red),
            Direction::Level => Style::new(),
        }
    }

    /// A quote of a connection that is gone. Not grey by its number: on some terminals that is the
    /// colour of the background.
    pub(super) fn old() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A row whose alert has just fired.
    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// A connection that is there.
    pub(super) fn connected(self) -> Style {
        self.coloured(Color::Green)
    }

    /// One that is lost.
    pub(super) fn lost(self) -> Style {
        self.coloured(Color::Red)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// What has to be noticed.
    pub(super) fn notice() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

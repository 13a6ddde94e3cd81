//! The watchlist as it was last kept, and which of its changes would be lost at the end.
//!
//! Pure. The table asks about them and writes them; where there is no table, the arguments that bring
//! them back are said.

use proto::Symbol;

use crate::{
    alert::{Alert, Alerts},
    keep::{Edits, Watched},
    watchlist::Sort,
};

/// What is kept, and what of the changes is not the person's.
#[derive(Debug)]
pub(crate) struct KeptList {
    kept: Watched,
    /// Symbols that the server took off the list, and not the person.
    refused: Vec<Symbol>,
    /// Whether the person wants no changes kept.
    is_forgotten: bool,
}

impl KeptList {
    /// The list at the start, which need not be kept.
    pub(crate) fn new(symbols: Vec<Symbol>, alerts: &Alerts, sort: Sort) -> Self {
        Self {
            kept: Watched {
                symbols,
                alerts: alerts.iter().cloned().collect(),
                sort,
            },
            refused: Vec::new(),
            is_forgotten: false,
        }
    }

    /// The server took it off the list.
    pub(crate) fn refuse(&mut self, symbol: &Symbol) {
        if !self.refused.contains(symbol) {
            self.refused.push(symbol.clone());
        }
    }

    /// What would be kept of a list as it is now: what the server alone took off it too, for it may be
    /// another server next time; and only the alerts that are not paused by the person, whose symbols would
    /// come back.
    pub(crate) fn watched(&self, symbols: Vec<Symbol>, alerts: &Alerts, sort: Sort) -> Watched {
        let mut symbols = symbols;
        for (place, symbol) in self.kept.symbols.iter().enumerate() {
            if self.refused.contains(symbol) && !symbols.contains(symbol) {
                symbols.insert(place.min(symbols.len()), symbol.clone());
            }
        }
        let is_watched = |alert: &&Alert| symbols.contains(alert.symbol());
        Watched {
            alerts: alerts.iter().filter(is_watched).cloned().collect(),
            symbols,
            sort,
        }
    }

    /// What has changed since it was kept.
    pub(crate) fn edits_to(&self, now: &Watched) -> Edits {
        self.kept.edits_to(now)
    }

    /// It was written as it is now.
    pub(crate) fn keep(&mut self, now: Watched) {
        self.kept = now;
    }

    /// The person wants none of the changes.
    pub(crate) fn forget(&mut self) {
        self.is_forgotten = true;
    }

    /// The arguments that bring the list back, if it was changed and neither kept nor meant to be
    /// forgotten.
    pub(crate) fn unkept(&self, now: &Watched) -> Option<String> {
        let is_lost = !self.is_forgotten && !self.edits_to(now).is_empty();
        // Without a symbol there is nothing to have again.
        (is_lost && !now.symbols.is_empty()).then(|| now.arguments())
    }
}

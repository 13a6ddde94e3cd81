//! The rows as they were given, each symbol once.

use std::collections::HashMap;

use proto::Symbol;

use super::row::Row;

/// The rows in the order in which they were given, found by symbol too.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// By the symbol's text, as updates have it.
    places: HashMap<String, usize>,
}

impl Rows {
    /// Whether it was not there.
    pub(super) fn add(&mut self, symbol: Symbol) -> bool {
        if self.places.contains_key(symbol.as_str()) {
            return false;
        }
        self.places
            .insert(symbol.as_str().to_owned(), self.rows.len());
        self.rows.push(Row::new(symbol));
        true
    }

    pub(super) fn remove(&mut self, symbol: &Symbol) {
        let Some(place) = self.places.remove(symbol.as_str()) else {
            return;
        };
        self.rows.remove(place);
        for behind in self.places.values_mut().filter(|behind| **behind > place) {
            *behind -= 1;
        }
    }

    /// Where a symbol's row is.
    pub(super) fn place(&self, symbol: &Symbol) -> Option<usize> {
        self.places.get(symbol.as_str()).copied()
    }

    pub(super) fn as_slice(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row_mut(&mut self, symbol: &str) -> Option<&mut Row> {
        let place = *self.places.get(symbol)?;
        self.rows.get_mut(place)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.rows.iter_mut()
    }
}

//! By which column the rows are ordered, and which way.

use std::{cmp::Ordering, fmt, str::FromStr};

use super::row::Row;

/// What decides the order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// Nothing: as the symbols were given.
    #[default]
    Given,
    /// The symbol.
    Symbol,
    /// The last price.
    Last,
    /// The change in dollars.
    Change,
    /// The change in percent.
    Percent,
    /// The day's volume, or the trade's where the day's is not known.
    Volume,
}

impl SortBy {
    /// All, in the order in which a key goes through them.
    pub const ALL: [Self; 6] = [
        Self::Given,
        Self::Symbol,
        Self::Last,
        Self::Change,
        Self::Percent,
        Self::Volume,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Symbol => "symbol",
            Self::Last => "last",
            Self::Change => "change",
            Self::Percent => "percent",
            Self::Volume => "volume",
        }
    }

    /// Whether people expect the largest first.
    fn is_descending_at_first(self) -> bool {
        !matches!(self, Self::Given | Self::Symbol)
    }
}

/// The order of the rows. Written `percent`, or with a direction `percent:asc`, `symbol:desc`;
/// without one, numbers begin with the largest and all else with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// The column.
    pub by: SortBy,
    /// Whether the last or largest comes first.
    pub descending: bool,
}

impl Sort {
    /// By a column, in the direction that people expect of it.
    pub fn by(by: SortBy) -> Self {
        Self {
            by,
            descending: by.is_descending_at_first(),
        }
    }

    /// The next column, the first after the last.
    pub fn next(self) -> Self {
        let at = SortBy::ALL.iter().position(|&by| by == self.by);
        let next = at.map_or(0, |at| (at + 1) % SortBy::ALL.len());
        Self::by(SortBy::ALL[next])
    }

    /// The same column the other way.
    pub fn reversed(self) -> Self {
        Self {
            descending: !self.descending,
            ..self
        }
    }

    /// Which of two rows comes first; rows that have no such number come last either way. Rows that
    /// are equal in it stay as they were given, as long as the sort is a stable one.
    pub(super) fn compare(self, a: &Row, b: &Row) -> Ordering {
        let directed = |ordering: Ordering| match self.descending {
            true => ordering.reverse(),
            false => ordering,
        };
        match self.by {
            SortBy::Given => Ordering::Equal,
            SortBy::Symbol => directed(a.symbol().cmp(b.symbol())),
            _ => match (self.number(a), self.number(b)) {
                (Some(a), Some(b)) => directed(a.total_cmp(&b)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            },
        }
    }

    fn number(self, row: &Row) -> Option<f64> {
        let quote = row.quote()?;
        let number = match self.by {
            SortBy::Given | SortBy::Symbol => return None,
            SortBy::Last => quote.update().current_price,
            SortBy::Change => quote.update().price_change,
            SortBy::Percent => quote.update().change_percent,
            SortBy::Volume => quote.volume() as f64,
        };
        (!number.is_nan()).then_some(number)
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.by.name())?;
        match self.descending {
            _ if *self == Self::by(self.by) => Ok(()),
            true => f.write_str(":desc"),
            false => f.write_str(":asc"),
        }
    }
}

/// The text names no order; it says which there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "sort by given, symbol, last, change, percent or volume, with :asc or :desc after it for a \
     direction, such as percent:asc"
)]
pub struct BadSort;

impl FromStr for Sort {
    type Err = BadSort;

    fn from_str(text: &str) -> Result<Self, BadSort> {
        let text = text.trim().to_ascii_lowercase();
        let (name, direction) = match text.split_once(':') {
            Some((name, direction)) => (name, Some(direction)),
            None => (text.as_str(), None),
        };
        let by = SortBy::ALL.into_iter().find(|by| by.name() == name);
        let sort = Self::by(by.ok_or(BadSort)?);
        let descending = match direction {
            None => sort.descending,
            Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(BadSort),
        };
        Ok(Self { descending, ..sort })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_and_written() {
        for (text, written) in [
            ("given", "given"),
            ("given:desc", "given:desc"),
            ("Symbol", "symbol"),
            ("symbol:asc", "symbol"),
            ("symbol:desc", "symbol:desc"),
            (" percent ", "percent"),
            ("percent:desc", "percent"),
            ("volume:asc", "volume:asc"),
        ] {
            let sort: Sort = text.parse().expect(text);
            assert_eq!(sort.to_string(), written, "{text}");
            assert_eq!(sort.to_string().parse(), Ok(sort), "{text}");
        }
        for bad in ["", "price", "percent:up", "percent:", ":asc"] {
            let error = bad.parse::<Sort>().expect_err(bad).to_string();
            assert!(error.contains("percent or volume"), "{error}");
        }
    }

    #[test]
    fn the_key_goes_through_all_and_round() {
        let mut sort = Sort::default();
        let mut seen = Vec::new();
        for _ in SortBy::ALL {
            seen.push(sort.to_string());
            sort = sort.next();
        }
        assert_eq!(
            seen,
            ["given", "symbol", "last", "change", "percent", "volume"]
        );
        assert_eq!(sort, Sort::default());
        assert_eq!(sort.reversed().reversed(), sort);
    }
}

//! Alerts: conditions on a quote, and when one becomes true. Pure.

use std::{fmt, str::FromStr};

use proto::{Symbol, SymbolError, fin::StockUpdate};

/// `AAPL>250`: a condition on a symbol's price, or with `AAPL%>3` on its change in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    symbol: Symbol,
    of: Figure,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Price,
    ChangePercent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Above,
    AtOrAbove,
    Below,
    AtOrBelow,
}

/// Why a text is no alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// There is no operator in it.
    #[error("there is none of > >= < <= in it; {FORM}")]
    Operator,
    /// What stands before the operator is no symbol.
    #[error("{0}; {FORM}")]
    Symbol(SymbolError),
    /// What stands after the operator is no number.
    #[error("{0:?} is no number; {FORM}")]
    Number(String),
}

const FORM: &str = "an alert is SYMBOL OP PRICE, such as 'AAPL>250' or 'BRK.B <= 480.5', \
                    or SYMBOL% OP PERCENT for the day's change, such as 'TSLA%<-2'";

/// No number is longer; of a longer text only so much is shown.
const MAX_NUMBER_CHARS: usize = 24;

impl Alert {
    /// Whose quotes it is about.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// Whether it is true of these; `None` when nothing can be said, because there is no number.
    fn is_true(&self, update: &StockUpdate) -> Option<bool> {
        let figure = self.of.in_update(update);
        figure.is_finite().then_some(match self.comparison {
            Comparison::Above => figure > self.bound,
            Comparison::AtOrAbove => figure >= self.bound,
            Comparison::Below => figure < self.bound,
            Comparison::AtOrBelow => figure <= self.bound,
        })
    }
}

impl Figure {
    fn in_update(self, update: &StockUpdate) -> f64 {
        match self {
            Self::Price => update.current_price,
            Self::ChangePercent => update.change_percent,
        }
    }
}

impl FromStr for Alert {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        let place = text.find(['<', '>']).ok_or(AlertError::Operator)?;
        let (symbol, rest) = text.split_at(place);
        // The longer ones first, which begin as the shorter do.
        let (comparison, number) = [
            (">=", Comparison::AtOrAbove),
            ("<=", Comparison::AtOrBelow),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?.trim())))
        .ok_or(AlertError::Operator)?;
        let (symbol, of) = match symbol.trim().strip_suffix('%') {
            Some(symbol) => (symbol.trim_end(), Figure::ChangePercent),
            None => (symbol.trim(), Figure::Price),
        };
        let no_number = || AlertError::Number(number.chars().take(MAX_NUMBER_CHARS).collect());
        let symbol = symbol.parse().map_err(AlertError::Symbol)?;
        let bound = number.parse().map_err(|_| no_number())?;
        if !f64::is_finite(bound) {
            return Err(no_number());
        }
        Ok(Self {
            symbol,
            of,
            comparison,
            bound,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = match self.of {
            Figure::Price => "",
            Figure::ChangePercent => "%",
        };
        let sign = match self.comparison {
            Comparison::Above => ">",
            Comparison::AtOrAbove => ">=",
            Comparison::Below => "<",
            Comparison::AtOrBelow => "<=",
        };
        write!(f, "{}{percent}{sign}{}", self.symbol, self.bound)
    }
}

/// An alert's condition has become true.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Which.
    pub alert: Alert,
    /// The price, or the change in percent, that made it true.
    pub figure: f64,
}

impl fmt::Display for Alarm {
    /// `AAPL 250.31 is above 250`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alert {
            symbol,
            of,
            comparison,
            bound,
        } = &self.alert;
        let figure = cents(self.figure);
        let words = match comparison {
            Comparison::Above => "above",
            Comparison::AtOrAbove => "at or above",
            Comparison::Below => "below",
            Comparison::AtOrBelow => "at or below",
        };
        match of {
            Figure::Price => write!(f, "{symbol} {figure} is {words} {bound}"),
            Figure::ChangePercent => {
                write!(
                    f,
                    "{symbol} changed by {figure}%, which is {words} {bound}%"
                )
            }
        }
    }
}

/// Two decimals, up to four where they say more.
fn cents(figure: f64) -> String {
    let mut text = format!("{figure:.4}");
    for _ in 0..2 {
        if text.ends_with('0') {
            text.pop();
        }
    }
    text
}

/// All alerts, and which conditions hold.
#[derive(Debug, Clone, Default)]
pub struct Alerts(Vec<(Alert, bool)>);

impl Alerts {
    /// None of them holds yet. Those that mean the same are one.
    pub fn new(alerts: Vec<Alert>) -> Self {
        let mut each_once: Vec<(Alert, bool)> = Vec::with_capacity(alerts.len());
        for alert in alerts {
            if each_once.iter().all(|(there, _)| *there != alert) {
                each_once.push((alert, false));
            }
        }
        Self(each_once)
    }

    /// The alerts that this quote made true, the first quote of all included. One whose condition
    /// stays true is not among them again before it was false; a quote without a number changes
    /// nothing.
    pub fn check(&mut self, update: &StockUpdate) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (alert, holds) in &mut self.0 {
            if alert.symbol.as_str() != update.ticker_symbol {
                continue;
            }
            let Some(now) = alert.is_true(update) else {
                continue;
            };
            if now && !*holds {
                alarms.push(Alarm {
                    alert: alert.clone(),
                    figure: alert.of.in_update(update),
                });
            }
            *holds = now;
        }
        alarms
    }

    /// Whether any condition on this symbol holds, as of its last quote.
    pub fn is_on(&self, symbol: &str) -> bool {
        let on = |(alert, holds): &(Alert, bool)| *holds && alert.symbol.as_str() == symbol;
        self.0.iter().any(on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(text: &str) -> Alert {
        text.parse().expect(text)
    }

    fn quote(symbol: &str, price: f64, percent: f64) -> StockUpdate {
        StockUpdate {
            ticker_symbol: symbol.to_owned(),
            current_price: price,
            change_percent: percent,
            ..StockUpdate::default()
        }
    }

    #[test]
    fn every_form_is_understood_and_said_in_its_shortest() {
        for (text, shortest) in [
            ("AAPL>250", "AAPL>250"),
            (" brk.b <= 480.50 ", "BRK.B<=480.5"),
            ("TSLA >=1e3", "TSLA>=1000"),
            ("F<.5", "F<0.5"),
            ("TSLA%<-2", "TSLA%<-2"),
            ("tsla % > 3", "TSLA%>3"),
        ] {
            assert_eq!(alert(text).to_string(), shortest);
            assert_eq!(alert(shortest), alert(text));
        }
    }

    #[test]
    fn what_is_none_is_told_why_and_how_it_should_be() {
        let long = format!("AAPL>{}", "\u{1b}9".repeat(5_000));
        for (text, why) in [
            ("", "none of"),
            ("AAPL", "none of"),
            ("AAPL=250", "none of"),
            (">250", "the symbol is empty"),
            ("A$PL>250", "cannot have '$'"),
            ("AAPL>", "\"\" is no number"),
            ("AAPL>>3", "\">3\" is no number"),
            ("AAPL=>3", "cannot have '='"),
            ("AAPL>1,000", "\"1,000\" is no number"),
            ("AAPL>nan", "\"nan\" is no number"),
            ("AAPL>inf", "\"inf\" is no number"),
            (&long, "is no number"),
        ] {
            let error = text.parse::<Alert>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(error.contains("SYMBOL OP PRICE"), "{text:?}: {error}");
            assert!(error.len() < 600, "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    /// What is said of each of these prices in turn.
    fn said(text: &str, prices: &[f64]) -> Vec<String> {
        let mut alerts = Alerts::new(vec![alert(text)]);
        let mut said = Vec::new();
        for price in prices {
            let alarms = alerts.check(&quote("AAPL", *price, *price));
            said.push(alarms.iter().map(ToString::to_string).collect());
        }
        said
    }

    #[test]
    fn each_crossing_is_told_once() {
        assert_eq!(
            said("AAPL>250", &[249.0, 250.0, 250.31, 260.0, 250.0, 251.0]),
            [
                "",
                "",
                "AAPL 250.31 is above 250",
                "",
                "",
                "AAPL 251.00 is above 250"
            ]
        );
        assert_eq!(
            said("AAPL<=1", &[0.9999, 1.0, 1.5, 1.0]),
            [
                "AAPL 0.9999 is at or below 1",
                "",
                "",
                "AAPL 1.00 is at or below 1"
            ]
        );
        assert_eq!(said("AAPL>=2", &[2.0]), ["AAPL 2.00 is at or above 2"]);
        assert_eq!(said("AAPL<2", &[2.0, 1.0]), ["", "AAPL 1.00 is below 2"]);
        assert_eq!(
            said("AAPL%<-2", &[-1.0, -2.5]),
            ["", "AAPL changed by -2.50%, which is below -2%"]
        );
    }

    #[test]
    fn alerts_that_mean_the_same_are_told_once() {
        let same = ["AAPL>1", "aapl > 1.0", "AAPL>=1", "AAPL%>1"];
        let mut alerts = Alerts::new(same.map(alert).to_vec());
        let alarms = alerts.check(&quote("AAPL", 2.0, 0.0));
        let said: Vec<_> = alarms.iter().map(|alarm| alarm.alert.to_string()).collect();
        assert_eq!(said, ["AAPL>1", "AAPL>=1"]);
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for text in ["AAPL>250", "AAPL<250", "AAPL%>250", "AAPL%<250"] {
            assert_eq!(said(text, &strange), ["", "", ""], "{text}");
        }
        let said = said("AAPL>250", &[251.0, f64::NAN, 252.0]);
        assert_eq!(said, ["AAPL 251.00 is above 250", "", ""]);
    }

    #[test]
    fn a_symbol_is_on_while_one_of_its_conditions_holds() {
        let mut alerts = Alerts::new(vec![alert("AAPL>10"), alert("AAPL>20"), alert("F>1")]);
        assert!(!alerts.is_on("AAPL"));
        assert_eq!(alerts.check(&quote("AAPL", 30.0, 0.0)).len(), 2);
        assert!(alerts.is_on("AAPL") && !alerts.is_on("F"));
        assert!(alerts.check(&quote("AAPL", 15.0, 0.0)).is_empty());
        assert!(alerts.is_on("AAPL"));
        alerts.check(&quote("AAPL", 10.0, 0.0));
        assert!(!alerts.is_on("AAPL"));
    }
}

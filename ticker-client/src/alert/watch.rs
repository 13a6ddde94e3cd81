//! All alerts, which of them hold, and which have just begun to.

use std::fmt;

use proto::{Symbol, SymbolKind, fin::StockUpdate, price_decimals};

use super::{Alert, Comparison, Figure};

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
        let figure = match (of, symbol.kind()) {
            (Figure::Price, SymbolKind::CurrencyPair) => {
                let decimals = price_decimals(symbol.as_str(), self.figure);
                format!("{:.decimals$}", self.figure)
            }
            _ => cents(self.figure),
        };
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
        let mut each_once = Self::default();
        each_once.add(alerts);
        each_once
    }

    fn add(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            if self.iter().all(|there| *there != alert) {
                self.0.push((alert, false));
            }
        }
    }

    /// All, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.0.iter().map(|(alert, _)| alert)
    }

    /// Those on this symbol.
    pub fn of(&self, symbol: &Symbol) -> impl Iterator<Item = &Alert> {
        self.iter().filter(move |alert| alert.symbol == *symbol)
    }

    /// Puts these in the place of those on the symbol, or of all. What was there and is again holds as
    /// it did.
    pub fn replace(&mut self, of: Option<&Symbol>, alerts: Vec<Alert>) {
        let is_meant = |alert: &Alert| of.is_none_or(|symbol| alert.symbol == *symbol);
        self.0
            .retain(|(alert, _)| !is_meant(alert) || alerts.contains(alert));
        self.add(alerts);
    }

    /// There will be no quotes of the symbol until it is asked for again. Says what becomes of its
    /// alerts, if it has any.
    pub fn pause(&mut self, symbol: &Symbol) -> Option<String> {
        let mut paused = Vec::new();
        for (alert, holds) in &mut self.0 {
            if alert.symbol == *symbol {
                *holds = false;
                paused.push(alert.to_string());
            }
        }
        match &*paused {
            [] => None,
            [one] => Some(format!("its alert {one} waits until it is added again")),
            all => Some(format!(
                "its alerts {} wait until it is added again",
                all.join(", ")
            )),
        }
    }

    /// The alerts that this quote made true, the first quote of all included. One whose condition
    /// stays true is not among them again before it was clearly false; a quote without a number
    /// changes nothing.
    pub fn check(&mut self, update: &StockUpdate) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (alert, holds) in &mut self.0 {
            if alert.symbol.as_str() != update.ticker_symbol {
                continue;
            }
            let Some(now) = alert.is_true(update, *holds) else {
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

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn quote(symbol: &str, price: f64, percent: f64) -> StockUpdate {
        StockUpdate {
            ticker_symbol: symbol.to_owned(),
            current_price: price,
            change_percent: percent,
            ..StockUpdate::default()
        }
    }

    /// What is said of each of these prices in turn.
    fn said(text: &str, prices: &[f64]) -> Vec<String> {
        let alert = alert(text);
        let name = alert.symbol().to_string();
        let mut alerts = Alerts::new(vec![alert]);
        let mut said = Vec::new();
        for price in prices {
            let alarms = alerts.check(&quote(&name, *price, *price));
            said.push(alarms.iter().map(ToString::to_string).collect());
        }
        said
    }

    #[test]
    fn each_crossing_is_told_once() {
        assert_eq!(
            said("AAPL>250", &[249.0, 250.0, 250.31, 260.0, 249.0, 251.0]),
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
        assert_eq!(
            said("EURUSD=X>1.08", &[1.08001]),
            ["EURUSD=X 1.08001 is above 1.08"]
        );
    }

    #[test]
    fn a_price_that_flutters_at_the_bound_is_told_once() {
        let fired = |text: &str, prices: &[f64]| {
            let said = said(text, prices);
            let fired = said.iter().enumerate().filter(|(_, said)| !said.is_empty());
            fired.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let around = [249.99, 250.01].repeat(1_000);
        for (text, first) in [
            ("AAPL>250", 1),
            ("AAPL>=250", 1),
            ("AAPL<250", 0),
            ("AAPL<=250", 0),
        ] {
            assert_eq!(fired(text, &around), [first], "{text}");
        }
        // A thousandth of the bound is clearly back, and a tenth of a percentage point.
        assert_eq!(fired("AAPL>250", &[251.0, 249.76, 251.0]), [0]);
        assert_eq!(fired("AAPL>250", &[251.0, 249.75, 251.0]), [0, 2]);
        assert_eq!(fired("AAPL<250", &[249.0, 250.24, 249.0]), [0]);
        assert_eq!(fired("AAPL<250", &[249.0, 250.25, 249.0]), [0, 2]);
        assert_eq!(fired("AAPL%<=-2", &[-2.0, -1.91, -2.0]), [0]);
        assert_eq!(fired("AAPL%<=-2", &[-2.0, -1.89, -2.0]), [0, 2]);
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
        alerts.check(&quote("AAPL", 9.0, 0.0));
        assert!(!alerts.is_on("AAPL"));
    }

    fn texts(alerts: &Alerts) -> Vec<String> {
        alerts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_replaced_and_stays_is_not_told_again() {
        let mut alerts = Alerts::new(["AAPL>10", "F>1", "AAPL<5"].map(alert).to_vec());
        assert_eq!(alerts.check(&quote("AAPL", 30.0, 0.0)).len(), 1);
        let apple = symbol("AAPL");
        alerts.replace(Some(&apple), ["AAPL>20", "AAPL>10"].map(alert).to_vec());
        assert_eq!(texts(&alerts), ["AAPL>10", "F>1", "AAPL>20"]);
        let alarms = alerts.check(&quote("AAPL", 30.0, 0.0));
        assert_eq!(alarms.len(), 1, "the new one: {alarms:?}");
        alerts.replace(None, vec![alert("F>1")]);
        assert_eq!(texts(&alerts), ["F>1"]);
    }

    #[test]
    fn what_is_dropped_says_what_becomes_of_its_alerts_and_begins_anew() {
        let mut alerts = Alerts::new(["AAPL>10", "F>1", "AAPL<5"].map(alert).to_vec());
        assert_eq!(alerts.pause(&symbol("TSLA")), None);
        let one = alerts.pause(&symbol("F")).expect("it has one");
        assert_eq!(one, "its alert F>1 waits until it is added again");
        alerts.check(&quote("AAPL", 30.0, 0.0));
        let two = alerts.pause(&symbol("AAPL")).expect("it has two");
        assert!(two.starts_with("its alerts AAPL>10, AAPL<5 wait"), "{two}");
        assert!(!alerts.is_on("AAPL"));
        assert_eq!(alerts.check(&quote("AAPL", 30.0, 0.0)).len(), 1);
    }
}

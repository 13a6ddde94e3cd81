//! Alerts as people type them: `AAPL>250`, `AAPL >= $1,000`, `TSLA -2%`; in the table, where a symbol is
//! selected, also `>250` or `$250`.

use std::str::FromStr;

use proto::{Symbol, SymbolError};

use super::{Alert, Comparison, Figure};

/// What stands between the thousands of a number.
const THOUSANDS: [char; 7] = [',', '_', '\'', '’', ' ', '\u{a0}', '\u{202f}'];

/// No number is longer; of a longer text only so much is shown.
const MAX_NUMBER_CHARS: usize = 24;

/// Why a text is no alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// There is no operator in it.
    #[error("there is none of > >= < <= in it; {FORM}")]
    Operator,
    /// Nothing stands before the operator.
    #[error("there is no symbol before {0:?}; {FORM}")]
    NoSymbol(String),
    /// What stands before the operator is no symbol.
    #[error("{0}; {FORM}")]
    Symbol(SymbolError),
    /// What stands after the operator is no number.
    #[error("{0:?} is no number; {FORM}")]
    Number(String),
    /// A comma stands where a point should.
    #[error("{0:?} is no number: write {1}; {FORM}")]
    DecimalComma(String, String),
    /// There is a number, and nothing that says from which side it is reached.
    #[error("say from which side: {0} when it rises there, {1} when it falls there; {FORM}")]
    Direction(String, String),
}

const FORM: &str = "an alert is SYMBOL OP PRICE, such as 'AAPL>250' or 'BRK.B <= $480.50', \
                    or SYMBOL% OP PERCENT for the day's change, such as 'TSLA%<-2'";

/// Whom an alert is about that names nobody, and what it stands at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subject {
    pub(crate) symbol: Symbol,
    /// `None`: not known yet.
    pub(crate) price: Option<f64>,
}

impl FromStr for Alert {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        parse(&normalized(text), None)
    }
}

/// The alerts of a line, with blanks, commas or semicolons between them.
///
/// # Errors
///
/// What is wrong with the first that is none.
pub(crate) fn alerts_of_line(
    line: &str,
    subject: Option<&Subject>,
) -> Result<Vec<Alert>, AlertError> {
    let alerts = split(&normalized(line));
    alerts.iter().map(|text| parse(text, subject)).collect()
}

/// Other ways to write the same signs.
fn normalized(text: &str) -> String {
    let text = text.replace('−', "-").replace('≥', ">=").replace('≤', "<=");
    text.replace("=>", ">=").replace("=<", "<=")
}

/// The words of a line that are one alert each.
fn split(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = line.chars().collect();
    for (place, &c) in chars.iter().enumerate() {
        let rest = &chars[place + 1..];
        let is_blank = c.is_whitespace();
        let mut next = rest.iter().filter(|c| !c.is_whitespace()).peekable();
        next.next_if(|c| **c == '%');
        let meets_operator =
            !word.contains(['<', '>']) && next.peek().is_some_and(|c| "<>".contains(**c));
        let is_joined = is_blank && (word.ends_with(['<', '>', '=', '$']) || meets_operator);
        match c {
            _ if is_joined => {}
            ',' if is_between_thousands(&word, rest) => word.push(c),
            _ if is_blank || c == ',' || c == ';' => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    // `TSLA -2%`: a symbol, and a number that says it all.
    let mut alerts: Vec<String> = Vec::new();
    for word in words {
        match alerts.last_mut() {
            Some(before) if is_lone_symbol(before) && bound(&word).is_some() => {
                before.push(' ');
                before.push_str(&word);
            }
            _ => alerts.push(word),
        }
    }
    alerts
}

fn is_between_thousands(before: &str, after: &[char]) -> bool {
    let digits = after.iter().take_while(|c| c.is_ascii_digit()).count();
    before.ends_with(|c: char| c.is_ascii_digit()) && digits == 3
}

fn is_lone_symbol(word: &str) -> bool {
    !word.contains([' ', '<', '>']) && bound(word).is_none()
}

fn parse(text: &str, subject: Option<&Subject>) -> Result<Alert, AlertError> {
    let text = text.trim();
    match text.find(['<', '>']) {
        Some(place) => {
            let (symbol, condition) = text.split_at(place);
            comparison(symbol.trim(), condition, subject)
        }
        None => reached(text, subject),
    }
}

/// `AAPL>250`, `AAPL%<-2`, `AAPL<-2%`, and without a symbol where there is a subject.
fn comparison(
    symbol: &str,
    condition: &str,
    subject: Option<&Subject>,
) -> Result<Alert, AlertError> {
    // The longer ones first, which begin as the shorter do.
    let (comparison, number) = [
        (">=", Comparison::AtOrAbove),
        ("<=", Comparison::AtOrBelow),
        (">", Comparison::Above),
        ("<", Comparison::Below),
    ]
    .into_iter()
    .find_map(|(sign, comparison)| Some((comparison, condition.strip_prefix(sign)?.trim())))
    .ok_or(AlertError::Operator)?;
    let (symbol, is_percent) = match symbol.strip_suffix('%') {
        Some(symbol) => (symbol.trim_end(), true),
        None => (symbol, false),
    };
    let symbol = match (symbol, subject) {
        ("", None) => return Err(AlertError::NoSymbol(start(condition))),
        ("", Some(subject)) => subject.symbol.clone(),
        // As people write of shares: $AAPL.
        (symbol, _) => symbol
            .strip_prefix('$')
            .unwrap_or(symbol)
            .parse()
            .map_err(AlertError::Symbol)?,
    };
    let bound = match bound(number) {
        Some(bound) if is_percent && bound.unit == Unit::Dollars => None,
        bound => bound,
    };
    let bound = bound.ok_or_else(|| no_number(number))?;
    Ok(Alert {
        symbol,
        of: match is_percent || bound.unit == Unit::Percent {
            true => Figure::ChangePercent,
            false => Figure::Price,
        },
        comparison,
        bound: bound.value,
    })
}

/// Without an operator: `TSLA -2%`, whose sign says the side; `AAPL $250`, whose side is known where the
/// price is.
fn reached(text: &str, subject: Option<&Subject>) -> Result<Alert, AlertError> {
    let (named, number) = match text.split_once(char::is_whitespace) {
        Some((symbol, number)) if bound(text).is_none() => (symbol, number.trim()),
        _ => ("", text),
    };
    let Some(bound) = bound(number) else {
        return Err(AlertError::Operator);
    };
    let named = match named.strip_prefix('$').unwrap_or(named) {
        "" => None,
        symbol => Some(symbol.parse::<Symbol>().map_err(AlertError::Symbol)?),
    };
    let subject = subject.filter(|subject| named.as_ref().is_none_or(|s| *s == subject.symbol));
    let symbol = named
        .or_else(|| subject.map(|subject| subject.symbol.clone()))
        .ok_or_else(|| AlertError::NoSymbol(start(text)))?;
    let value = bound.value;
    let (of, rises) = match (bound.unit, bound.sign) {
        (Unit::Percent, sign) => (Figure::ChangePercent, sign.map(|sign| sign == '+')),
        _ => {
            let price = subject.and_then(|subject| subject.price);
            (Figure::Price, price.map(|price| price < value))
        }
    };
    let alert = |comparison, bound| Alert {
        symbol: symbol.clone(),
        of,
        comparison,
        bound,
    };
    match rises {
        Some(true) => Ok(alert(Comparison::AtOrAbove, value)),
        Some(false) => Ok(alert(Comparison::AtOrBelow, value)),
        None => {
            let falls_to = match of {
                Figure::Price => value,
                Figure::ChangePercent => -value,
            };
            Err(AlertError::Direction(
                alert(Comparison::AtOrAbove, value).to_string(),
                alert(Comparison::AtOrBelow, falls_to).to_string(),
            ))
        }
    }
}

/// A number, and what stands beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    value: f64,
    unit: Unit,
    sign: Option<char>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    None,
    Dollars,
    Percent,
}

/// `250`, `$250`, `250$`, `-2%`, `+2 %`, `1,000.50`.
fn bound(text: &str) -> Option<Bound> {
    let mut text = text.trim();
    let mut unit = Unit::None;
    if let Some(number) = text.strip_suffix('%') {
        (text, unit) = (number.trim_end(), Unit::Percent);
    }
    let mut sign = take_sign(&mut text);
    let dollars = text.strip_prefix('$').or_else(|| text.strip_suffix('$'));
    if let Some(number) = dollars {
        if unit == Unit::Percent {
            return None;
        }
        (text, unit) = (number.trim(), Unit::Dollars);
        sign = sign.or_else(|| take_sign(&mut text));
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = if text.contains(THOUSANDS) {
        without_thousands(text)?
    } else {
        text.to_owned()
    };
    let value: f64 = number.parse().ok().filter(|_| is_number)?;
    let value = if sign == Some('-') { -value } else { value };
    value.is_finite().then_some(Bound { value, unit, sign })
}

fn take_sign(text: &mut &str) -> Option<char> {
    let sign = text.chars().next().filter(|c| "+-".contains(*c))?;
    *text = text[1..].trim_start();
    Some(sign)
}

/// `1,000,000.5` as `1000000.5`. `None` where a group is not of three digits: then the comma may have
/// meant a point.
fn without_thousands(text: &str) -> Option<String> {
    let separator = THOUSANDS.into_iter().find(|c| text.contains(*c))?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(separator);
    let first = groups
        .next()
        .filter(|group| (1..=3).contains(&group.len()))?;
    let mut number = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        number += group;
    }
    let fraction = fraction.unwrap_or_default();
    (is_digits(&number) && is_digits(fraction)).then(|| format!("{number}.{fraction}"))
}

fn no_number(text: &str) -> AlertError {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text.trim_matches(['$', '%', '+', '-']);
    match plain.split_once(',') {
        Some((whole, fraction)) if digits(whole) && digits(fraction) && text.len() <= 24 => {
            AlertError::DecimalComma(text.to_owned(), text.replace(',', "."))
        }
        _ => AlertError::Number(start(text)),
    }
}

fn start(text: &str) -> String {
    text.chars().take(MAX_NUMBER_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(text: &str) -> Alert {
        text.parse().expect(text)
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
            ("AAPL>$250", "AAPL>250"),
            ("AAPL > $ 250", "AAPL>250"),
            ("AAPL<250$", "AAPL<250"),
            ("$AAPL>250", "AAPL>250"),
            ("TSLA<-2%", "TSLA%<-2"),
            ("TSLA%<-2%", "TSLA%<-2"),
            ("TSLA > +2 %", "TSLA%>2"),
            ("TSLA<−2%", "TSLA%<-2"),
            ("TSLA -2%", "TSLA%<=-2"),
            ("TSLA +2%", "TSLA%>=2"),
            ("AAPL≥250", "AAPL>=250"),
            ("AAPL ≤ 250", "AAPL<=250"),
            ("AAPL=>250", "AAPL>=250"),
            ("AAPL=<250", "AAPL<=250"),
            ("BRK.A>735,000", "BRK.A>735000"),
            ("BRK.A>$735,000.50", "BRK.A>735000.5"),
            ("^N225>40'490", "^N225>40490"),
            ("^N225>40 490", "^N225>40490"),
            ("^DJI > 1_044_100", "^DJI>1044100"),
            ("eurusd=x<1.08", "EURUSD=X<1.08"),
            ("^gspc%<-1", "^GSPC%<-1"),
            ("0700.HK>500", "0700.HK>500"),
        ] {
            assert_eq!(alert(text).to_string(), shortest, "{text}");
            assert_eq!(alert(shortest), alert(text), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_why_and_how_it_should_be() {
        let long = format!("AAPL>{}", "\u{1b}9".repeat(5_000));
        for (text, why) in [
            ("", "none of"),
            ("AAPL", "none of"),
            ("AAPL=250", "none of"),
            (">250", "no symbol before \">250\""),
            ("-2%", "no symbol before \"-2%\""),
            ("A$PL>250", "cannot have '$'"),
            ("AAPL>", "\"\" is no number"),
            ("AAPL>>3", "\">3\" is no number"),
            ("AAPL>250,5", "write 250.5"),
            ("AAPL>$1,00", "write $1.00"),
            ("AAPL>1,0000", "write 1.0000"),
            ("AAPL>1,000,00", "\"1,000,00\" is no number"),
            ("AAPL>1.000,50", "\"1.000,50\" is no number"),
            ("AAPL>$5%", "\"$5%\" is no number"),
            ("AAPL%>$5", "\"$5\" is no number"),
            ("AAPL>--5", "\"--5\" is no number"),
            ("AAPL>nan", "\"nan\" is no number"),
            ("AAPL>inf", "\"inf\" is no number"),
            ("AAPL>1e999", "\"1e999\" is no number"),
            (
                "AAPL $250",
                "AAPL>=250 when it rises there, AAPL<=250 when it falls",
            ),
            (
                "AAPL 2%",
                "AAPL%>=2 when it rises there, AAPL%<=-2 when it falls",
            ),
            (&long, "is no number"),
        ] {
            let error = text.parse::<Alert>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(error.contains("SYMBOL OP PRICE"), "{text:?}: {error}");
            assert!(error.len() < 600, "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    fn of_line(line: &str, subject: Option<&Subject>) -> Result<String, AlertError> {
        let alerts = alerts_of_line(line, subject)?;
        let texts: Vec<_> = alerts.iter().map(ToString::to_string).collect();
        Ok(texts.join(" "))
    }

    #[test]
    fn a_line_holds_several_alerts() {
        for (line, alerts) in [
            ("AAPL>250,TSLA%<-2", "AAPL>250 TSLA%<-2"),
            ("AAPL > 250, TSLA % < -2 ; F<1", "AAPL>250 TSLA%<-2 F<1"),
            ("AAPL>1,000,TSLA>$2,500.50 F<1", "AAPL>1000 TSLA>2500.5 F<1"),
            ("TSLA -2% AAPL +3%", "TSLA%<=-2 AAPL%>=3"),
            ("  , ", ""),
        ] {
            assert_eq!(of_line(line, None).as_deref(), Ok(alerts), "{line}");
        }
        assert!(of_line("AAPL>250 TSLA", None).is_err());
    }

    #[test]
    fn where_a_symbol_is_selected_it_need_not_be_named() {
        let subject = Subject {
            symbol: "AAPL".parse().expect("a symbol"),
            price: Some(230.0),
        };
        for (line, alerts) in [
            (">250", "AAPL>250"),
            ("<= $200, %<-2", "AAPL<=200 AAPL%<-2"),
            ("$250", "AAPL>=250"),
            ("200", "AAPL<=200"),
            ("AAPL 250", "AAPL>=250"),
            ("-2% +2%", "AAPL%<=-2 AAPL%>=2"),
            ("1,000", "AAPL>=1000"),
            ("TSLA>3 >250", "TSLA>3 AAPL>250"),
        ] {
            assert_eq!(
                of_line(line, Some(&subject)).as_deref(),
                Ok(alerts),
                "{line}"
            );
        }
        let other = of_line("TSLA 250", Some(&subject)).expect_err("its price is not known");
        assert!(
            other.to_string().contains("TSLA>=250 when it rises"),
            "{other}"
        );
        let unknown = Subject {
            price: None,
            ..subject
        };
        assert!(of_line("$250", Some(&unknown)).is_err());
    }
}

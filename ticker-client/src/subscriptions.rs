//! What is subscribed to, and what has to be asked of the server for it.
//!
//! Pure: it outlives connections and knows of none; `link` carries its requests.

use std::{collections::HashMap, mem};

use proto::{
    Symbol,
    fin::{StockUpdate, Subscriptions as Answer, TickerAction, TickerRequest},
    text::{excerpt, words},
};
use tonic::Code;

use crate::{change::Change, feed_event::FeedEvent};

/// More columns of a symbol's name are not shown.
const NAME_COLUMNS: usize = 60;

/// The current set, and what this connection's server is known to understand.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    set: HashMap<Symbol, Subscription>,
    /// The place of the next symbol in the order of subscription.
    next_place: u64,
    /// Whether this server has answered a request with an action. One that has not might take an
    /// unsubscription for a subscription, so it gets none.
    answers: bool,
    /// Dropped before the server had answered: it may still send them.
    dropped_unsaid: Vec<Symbol>,
}

#[derive(Debug)]
struct Subscription {
    place: u64,
    /// Added while it ran, and not seen since. A server of the original contract that does not take
    /// it on ends the whole stream, and may mean only this one.
    on_trial: bool,
    /// There was a quote of it, from this server or one before: what refuses it now may be another
    /// server, for a while.
    seen: bool,
    /// This connection's server does not have it.
    refused: bool,
}

impl Subscriptions {
    /// Those that the program was started with.
    pub(crate) fn new(symbols: impl IntoIterator<Item = Symbol>) -> Self {
        let mut subscriptions = Self {
            set: HashMap::new(),
            next_place: 0,
            answers: false,
            dropped_unsaid: Vec::new(),
        };
        for symbol in symbols {
            subscriptions.insert(symbol, false);
        }
        subscriptions
    }

    fn insert(&mut self, symbol: Symbol, on_trial: bool) -> bool {
        if self.set.contains_key(&symbol) {
            return false;
        }
        let place = self.next_place;
        self.next_place += 1;
        let subscription = Subscription {
            place,
            on_trial,
            seen: false,
            refused: false,
        };
        self.set.insert(symbol, subscription);
        true
    }

    /// A new connection, to a server of which nothing is known: what to ask it for, in the order of
    /// subscription.
    pub(crate) fn requests_of_a_new_connection(&mut self) -> Vec<TickerRequest> {
        self.answers = false;
        self.dropped_unsaid.clear();
        for subscription in self.set.values_mut() {
            subscription.refused = false;
        }
        let mut ordered: Vec<_> = self.set.iter().collect();
        ordered.sort_by_key(|(_, subscription)| subscription.place);
        ordered
            .into_iter()
            .map(|(symbol, _)| request(symbol, TickerAction::Subscribe))
            .collect()
    }

    /// Follows the person's wish, and says what the server has to be asked for.
    pub(crate) fn change(&mut self, change: Change) -> Option<TickerRequest> {
        match change {
            Change::Add(symbol) => {
                let request = request(&symbol, TickerAction::Subscribe);
                if let Some(there) = self.set.get_mut(&symbol) {
                    // One that was refused can be asked for by hand.
                    return mem::take(&mut there.refused).then_some(request);
                }
                self.insert(symbol, true);
                Some(request)
            }
            Change::Drop(symbol) => {
                if self.set.remove(&symbol)?.refused {
                    return None;
                }
                if self.answers {
                    return Some(request(&symbol, TickerAction::Unsubscribe));
                }
                self.dropped_unsaid.push(symbol);
                None
            }
        }
    }

    /// The server has said what came of requests. What it refused is told; it is out of the set,
    /// unless there were quotes of it before.
    /// Returns also what it can be asked for, now that it is known to understand.
    pub(crate) fn answered(&mut self, answer: Answer) -> (Vec<FeedEvent>, Vec<TickerRequest>) {
        self.answers = true;
        let mut events = Vec::new();
        for refusal in answer.refusals {
            // What is no symbol, or not ours, cannot have been asked for by us.
            let Ok(symbol) = refusal.ticker_symbol.parse() else {
                continue;
            };
            let stays = match self.set.get_mut(&symbol) {
                None => continue,
                Some(subscription) if subscription.refused => continue,
                Some(subscription) => {
                    subscription.refused = true;
                    subscription.seen
                }
            };
            if !stays {
                self.set.remove(&symbol);
            }
            let why = words(&refusal.reason);
            events.push(FeedEvent::Refused { symbol, why, stays });
        }
        if !answer.notice.is_empty() {
            events.push(FeedEvent::Notice(words(&answer.notice)));
        }
        let requests = mem::take(&mut self.dropped_unsaid)
            .iter()
            .filter(|symbol| !self.set.contains_key(symbol))
            .map(|symbol| request(symbol, TickerAction::Unsubscribe))
            .collect();
        (events, requests)
    }

    /// Whether the update's symbol is in the set; it then stands in the update as it does here, and the
    /// name as a line.
    pub(crate) fn accept(&mut self, update: &mut StockUpdate) -> bool {
        let Ok(symbol) = update.ticker_symbol.parse::<Symbol>() else {
            return false;
        };
        let Some(subscription) = self.set.get_mut(&symbol) else {
            return false;
        };
        subscription.on_trial = false;
        subscription.seen = true;
        subscription.refused = false;
        if update.ticker_symbol != symbol.as_str() {
            update.ticker_symbol = symbol.to_string();
        }
        if !update.name.is_empty() {
            update.name = excerpt(&update.name, NAME_COLUMNS);
        }
        true
    }

    /// The stream was ended with this status and these words: the symbols on trial that it may have
    /// meant, now out of the set. If its words name some of them, only those. None for a server that
    /// refuses symbol by symbol, or when the status is not about a symbol.
    pub(crate) fn blame(&mut self, code: Code, why: &str) -> Vec<Symbol> {
        let about_a_symbol = matches!(
            code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::OutOfRange
                | Code::FailedPrecondition
                | Code::ResourceExhausted
        );
        if self.answers || !about_a_symbol {
            return Vec::new();
        }
        let mut blamed: Vec<_> = self
            .set
            .iter()
            .filter(|(_, subscription)| subscription.on_trial)
            .map(|(symbol, _)| symbol.clone())
            .collect();
        let named = |symbol: &Symbol| {
            why.split(|c: char| !c.is_ascii_alphanumeric() && !".-=^".contains(c))
                .any(|word| word.trim_end_matches('.') == symbol.as_str())
        };
        if blamed.iter().any(named) {
            blamed.retain(named);
        }
        for symbol in &blamed {
            self.set.remove(symbol);
        }
        blamed
    }
}

fn request(symbol: &Symbol, action: TickerAction) -> TickerRequest {
    TickerRequest {
        ticker_symbol: symbol.to_string(),
        action: action.into(),
    }
}

#[cfg(test)]
mod tests {
    use proto::fin::Refusal;

    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn subscriptions(symbols: &[&str]) -> Subscriptions {
        Subscriptions::new(symbols.iter().map(|text| symbol(text)))
    }

    fn said(requests: impl IntoIterator<Item = TickerRequest>) -> Vec<String> {
        let sign = |request: &TickerRequest| match request.action() {
            TickerAction::Unsubscribe => '-',
            TickerAction::Subscribe => '+',
            TickerAction::Unspecified => '?',
        };
        requests
            .into_iter()
            .map(|request| format!("{}{}", sign(&request), request.ticker_symbol))
            .collect()
    }

    fn accepts(subscriptions: &mut Subscriptions, text: &str) -> bool {
        let mut update = StockUpdate {
            ticker_symbol: text.to_owned(),
            ..StockUpdate::default()
        };
        subscriptions.accept(&mut update)
    }

    fn add(text: &str) -> Change {
        Change::Add(symbol(text))
    }

    fn remove(text: &str) -> Change {
        Change::Drop(symbol(text))
    }

    #[test]
    fn a_new_connection_is_asked_for_the_current_set_in_its_order() {
        let mut subscriptions = subscriptions(&["TSLA", "AAPL", "TSLA"]);
        assert_eq!(said(subscriptions.change(add("GOOGL"))), ["+GOOGL"]);
        assert_eq!(said(subscriptions.change(add("AAPL"))), [""; 0]);
        subscriptions.change(remove("TSLA"));
        subscriptions.change(add("TSLA"));
        let requests = subscriptions.requests_of_a_new_connection();
        assert_eq!(said(requests), ["+AAPL", "+GOOGL", "+TSLA"]);
    }

    #[test]
    fn only_a_server_that_answers_is_asked_to_stop_sending() {
        let mut subscriptions = subscriptions(&["AAPL", "TSLA", "F"]);
        assert_eq!(said(subscriptions.change(remove("AAPL"))), [""; 0]);
        assert_eq!(said(subscriptions.change(remove("F"))), [""; 0]);
        subscriptions.change(add("F"));
        assert!(!accepts(&mut subscriptions, "AAPL"), "dropped at once");
        let (_, requests) = subscriptions.answered(Answer::default());
        assert_eq!(said(requests), ["-AAPL"], "F is wanted again");
        assert_eq!(said(subscriptions.change(remove("TSLA"))), ["-TSLA"]);
        assert_eq!(said(subscriptions.change(remove("TSLA"))), [""; 0]);
        let (_, requests) = subscriptions.answered(Answer::default());
        assert_eq!(said(requests), [""; 0], "said once");
        // The next server may be another.
        subscriptions.requests_of_a_new_connection();
        assert_eq!(said(subscriptions.change(remove("F"))), [""; 0]);
    }

    #[test]
    fn a_refused_symbol_is_out_and_told_once() {
        let mut subscriptions = subscriptions(&["AAPL", "BAD"]);
        let refusal = |symbol: &str| Refusal {
            ticker_symbol: symbol.to_owned(),
            reason: format!("unknown\n{}", "x".repeat(10_000)),
        };
        let answer = Answer {
            ticker_symbols: vec!["AAPL".to_owned()],
            refusals: vec![
                refusal("bad"),
                refusal("BAD"),
                refusal("\u{1b}["),
                refusal("F"),
            ],
            notice: "the tape\nis over".to_owned(),
        };
        let (events, _) = subscriptions.answered(answer);
        let expected = FeedEvent::Refused {
            symbol: symbol("BAD"),
            why: words(&refusal("BAD").reason),
            stays: false,
        };
        let notice = FeedEvent::Notice("the tape\\nis over".to_owned());
        assert_eq!(events, [expected, notice]);
        let requests = subscriptions.requests_of_a_new_connection();
        assert_eq!(said(requests), ["+AAPL"]);
    }

    #[test]
    fn a_refused_symbol_that_was_seen_stays_and_can_be_asked_for_or_dropped() {
        let mut subscriptions = subscriptions(&["AAPL", "F"]);
        assert!(accepts(&mut subscriptions, "AAPL") && accepts(&mut subscriptions, "F"));
        let refused = |subscriptions: &mut Subscriptions| {
            let refusals = ["AAPL", "F", "F"].map(|symbol| Refusal {
                ticker_symbol: symbol.to_owned(),
                reason: String::new(),
            });
            let answer = Answer {
                refusals: refusals.to_vec(),
                ..Answer::default()
            };
            subscriptions.answered(answer).0
        };
        let events = refused(&mut subscriptions);
        let stays = |event: &FeedEvent| matches!(event, FeedEvent::Refused { stays: true, .. });
        assert!(events.len() == 2 && events.iter().all(stays), "{events:?}");
        assert_eq!(said(subscriptions.change(add("AAPL"))), ["+AAPL"]);
        assert_eq!(said(subscriptions.change(add("AAPL"))), [""; 0]);
        assert_eq!(refused(&mut subscriptions).len(), 1, "AAPL, again");
        assert_eq!(
            said(subscriptions.change(remove("F"))),
            [""; 0],
            "it has none"
        );
        let requests = subscriptions.requests_of_a_new_connection();
        assert_eq!(said(requests), ["+AAPL"]);
        assert_eq!(
            said(subscriptions.change(add("AAPL"))),
            [""; 0],
            "asked already"
        );
    }

    #[test]
    fn only_symbols_of_the_set_are_accepted_in_any_case() {
        let mut subscriptions = subscriptions(&["BRK.B"]);
        for (text, accepted) in [
            ("BRK.B", true),
            ("brk.b", true),
            ("AAPL", false),
            ("", false),
        ] {
            assert_eq!(accepts(&mut subscriptions, text), accepted, "{text:?}");
        }
    }

    #[test]
    fn an_original_server_that_ends_the_stream_meant_a_new_symbol() {
        let mut subscriptions = subscriptions(&["AAPL"]);
        for text in ["GOOD", "BAD", "ALSO.BAD"] {
            subscriptions.change(add(text));
        }
        assert!(accepts(&mut subscriptions, "GOOD"));
        let code = Code::InvalidArgument;
        let named = subscriptions.blame(code, "nobody trades ALSO.BAD.");
        assert_eq!(named, [symbol("ALSO.BAD")]);
        let unnamed = subscriptions.blame(code, "GOOD grief");
        assert_eq!(unnamed, [symbol("BAD")]);
        assert_eq!(subscriptions.blame(code, "AAPL"), [], "asked at the start");
        let requests = subscriptions.requests_of_a_new_connection();
        assert_eq!(said(requests), ["+AAPL", "+GOOD"]);
    }

    #[test]
    fn no_symbol_is_blamed_for_another_fault_or_by_a_server_that_refuses() {
        let mut subscriptions = subscriptions(&[]);
        subscriptions.change(add("AAPL"));
        for code in [
            Code::Unimplemented,
            Code::Unauthenticated,
            Code::Unavailable,
        ] {
            assert_eq!(subscriptions.blame(code, "AAPL"), []);
        }
        subscriptions.answered(Answer::default());
        assert_eq!(subscriptions.blame(Code::InvalidArgument, "AAPL"), []);
    }
}

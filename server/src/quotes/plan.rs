//! What one ticker stream is to be sent: follows its requests, and tells what is due.
//!
//! Pure: time comes in as a number. Nothing here grows with what a client sends or does not read.

use std::{collections::VecDeque, time::Duration};

use proto::{
    Symbol, SymbolError,
    fin::{Refusal, StockUpdate, Subscriptions as Answer, TickerAction, TickerRequest},
};
use tonic::Status;

use super::{
    exchange::{Exchange, NotTraded},
    request_rate::{RequestRate, TooManyRequests},
    subscriptions::{MAX_SYMBOLS, Subscriptions, TooManySymbols},
};
use crate::lab::LabQuotes;

/// Refusals kept for a client that does not read them; older ones are forgotten.
const MAX_REFUSALS: usize = 64;

/// Characters of a refused symbol that are repeated.
const REFUSED_CHARS: usize = 64;

/// Refusals of a stream that name what was perhaps meant: each looks through all that is listed.
const MAX_EXPLAINED: u32 = 64;

/// How long a stream of the original contract may have no symbol but those that are not traded here.
const NOTHING_TRADED: Duration = Duration::from_secs(1);

/// What a stream is to be sent.
#[derive(Debug)]
pub(super) struct QuotePlan {
    order: Order,
    rate: RequestRate,
    /// Whether the client wants to be told what came of its requests.
    answers: bool,
    answer_due: bool,
    refusals: VecDeque<Refusal>,
    /// The first symbol that was passed over for a client that does not read answers, and when.
    passed_over: Option<(Duration, NotTraded)>,
    explained: u32,
    /// Whether the exchange's notice has been told.
    noticed: bool,
    /// Requests to subscribe that were followed.
    subscribed: u64,
}

#[derive(Debug)]
enum Order {
    EveryTrade(Subscriptions),
    Lab(LabQuotes),
}

/// A request that is not followed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    #[error(transparent)]
    NotTraded(#[from] NotTraded),
    #[error("the action {0} is unknown; use 1 to subscribe and 2 to unsubscribe, or leave it out")]
    Action(i32),
    #[error(transparent)]
    TooManySymbols(#[from] TooManySymbols),
    #[error(transparent)]
    TooManyRequests(#[from] TooManyRequests),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let words = refused.to_string();
        match refused {
            Refused::TooManySymbols(_) | Refused::TooManyRequests(_) => {
                Self::resource_exhausted(words)
            }
            Refused::Symbol(_) | Refused::NotTraded(_) | Refused::Action(_) => {
                Self::invalid_argument(words)
            }
        }
    }
}

impl QuotePlan {
    /// Nothing so far; as the lab's server sends it, if `lab`.
    pub(super) fn new(lab: bool, now: Duration) -> Self {
        Self {
            order: if lab {
                Order::Lab(LabQuotes::default())
            } else {
                Order::EveryTrade(Subscriptions::default())
            },
            rate: RequestRate::new(now),
            answers: false,
            answer_due: false,
            refusals: VecDeque::new(),
            passed_over: None,
            explained: 0,
            noticed: false,
            subscribed: 0,
        }
    }

    /// How often a symbol was subscribed to.
    pub(super) fn subscribed(&self) -> u64 {
        self.subscribed
    }

    /// Follows a request, and returns a symbol that was passed over without a word to the client, which
    /// would take any for the end of its stream.
    ///
    /// # Errors
    ///
    /// The status with which the stream ends: requests come too fast, or this one cannot be followed
    /// and the client does not read answers.
    pub(super) fn take(
        &mut self,
        request: &TickerRequest,
        exchange: &Exchange,
        now: Duration,
    ) -> Result<Option<&NotTraded>, Status> {
        self.rate.take(now).map_err(Refused::from)?;
        let Order::EveryTrade(_) = self.order else {
            // The lab's server knows of no actions.
            let symbol = TickerRequest {
                ticker_symbol: request.ticker_symbol.clone(),
                ..TickerRequest::default()
            };
            self.follow(&symbol, exchange)?;
            return Ok(None);
        };
        self.answers |= request.action != TickerAction::Unspecified as i32;
        let followed = match self.follow(request, exchange) {
            Err(Refused::NotTraded(refused)) => {
                Err(Refused::NotTraded(self.explained(refused, exchange)))
            }
            followed => followed,
        };
        if !self.answers {
            return match followed {
                Err(Refused::NotTraded(refused)) => {
                    let (_, first) = self.passed_over.get_or_insert((now, refused));
                    Ok(Some(first))
                }
                followed => Ok(followed.map(|()| None)?),
            };
        }
        self.answer_due = true;
        if let Some((_, passed_over)) = self.passed_over.take() {
            let symbol = passed_over.symbol().to_string();
            self.refuse(symbol, &Refused::NotTraded(passed_over));
        }
        if let Err(refused) = followed {
            let symbol = request.ticker_symbol.chars().take(REFUSED_CHARS).collect();
            self.refuse(symbol, &refused);
        }
        Ok(None)
    }

    fn explained(&mut self, refused: NotTraded, exchange: &Exchange) -> NotTraded {
        if self.explained == MAX_EXPLAINED {
            return refused;
        }
        self.explained += 1;
        exchange.explained(refused)
    }

    fn refuse(&mut self, ticker_symbol: String, refused: &Refused) {
        self.refusals.push_back(Refusal {
            ticker_symbol,
            reason: refused.to_string(),
        });
        if self.refusals.len() > MAX_REFUSALS {
            self.refusals.pop_front();
        }
    }

    fn follow(&mut self, request: &TickerRequest, exchange: &Exchange) -> Result<(), Refused> {
        let action =
            TickerAction::try_from(request.action).map_err(|_| Refused::Action(request.action))?;
        let symbol: Symbol = request.ticker_symbol.parse()?;
        #[cfg(test)]
        crate::transport::forced::at(crate::transport::forced::IN_REQUEST, symbol.as_str());
        let added = match (&mut self.order, action) {
            (Order::EveryTrade(subscriptions), TickerAction::Unsubscribe) => {
                subscriptions.unsubscribe(&symbol);
                false
            }
            (Order::EveryTrade(subscriptions), _) => {
                subscriptions.subscribe(exchange.listing(&symbol)?)?
            }
            (Order::Lab(quotes), _) => {
                quotes.request(exchange.listing(&symbol)?)?;
                true
            }
        };
        self.subscribed += u64::from(added);
        Ok(())
    }

    /// The next message at a moment, which thereby is sent.
    pub(super) fn next_due(&mut self, exchange: &Exchange, now: Duration) -> Option<StockUpdate> {
        let subscriptions = match &mut self.order {
            Order::EveryTrade(subscriptions) => subscriptions,
            Order::Lab(quotes) => return quotes.next_due(now),
        };
        if !self.answer_due
            && let Some(update) = subscriptions.next_due(now)
        {
            return Some(update);
        }
        let notice = exchange.notice(now).filter(|_| !self.noticed);
        if !self.answer_due && (!self.answers || notice.is_none()) {
            return None;
        }
        self.answer_due = false;
        self.noticed |= notice.is_some();
        Some(StockUpdate {
            subscriptions: Some(Answer {
                ticker_symbols: subscriptions.symbols().map(Symbol::to_string).collect(),
                refusals: self.refusals.drain(..).collect(),
                notice: notice.unwrap_or_default().to_owned(),
            }),
            ..StockUpdate::default()
        })
    }

    /// When to look again after [`next_due`](Self::next_due) had nothing; `None`: after a request.
    pub(super) fn next_look(&self, exchange: &Exchange, now: Duration) -> Option<Duration> {
        match &self.order {
            Order::EveryTrade(subscriptions) if subscriptions.is_empty() => {
                self.nothing_traded_at()
            }
            Order::EveryTrade(_) => exchange.next_trade_after(now),
            Order::Lab(quotes) => quotes.due_at(),
        }
    }

    /// When a stream ends that has asked for nothing that is traded here.
    fn nothing_traded_at(&self) -> Option<Duration> {
        let (passed_over_at, _) = self.passed_over.as_ref()?;
        (self.subscribed == 0).then(|| passed_over_at.saturating_add(NOTHING_TRADED))
    }

    /// Whether it is at its end: `None`, not as yet; or how it ends, which is badly if nothing was ever
    /// subscribed to. `half_closed`: no request will come any more.
    pub(super) fn end(&self, half_closed: bool, now: Duration) -> Option<Result<(), Status>> {
        if self.subscribed == 0
            && let Some((_, passed_over)) = &self.passed_over
            && (half_closed || self.nothing_traded_at().is_some_and(|at| now >= at))
        {
            return Some(Err(Status::invalid_argument(passed_over.to_string())));
        }
        if !half_closed {
            return None;
        }
        if self.subscribed == 0 {
            let what = match self.explained {
                0 => "no symbol was asked for",
                _ => "no symbol was asked for that is traded here",
            };
            return Some(Err(Status::invalid_argument(format!(
                "{what}; send 1 to {MAX_SYMBOLS} requests with one ticker_symbol each"
            ))));
        }
        let is_over = match &self.order {
            Order::EveryTrade(subscriptions) => subscriptions.is_empty() && !self.answer_due,
            Order::Lab(quotes) => quotes.is_empty(),
        };
        is_over.then_some(Ok(()))
    }
}

//! What one ticker stream is to be sent: follows its requests, and tells what is due.
//!
//! Pure: time comes in as a number. Nothing here grows with what a client sends or does not read.

use std::{collections::VecDeque, time::Duration};

use proto::{
    Symbol, SymbolError,
    fin::{Refusal, StockUpdate, Subscriptions as Answer, TickerAction, TickerRequest},
};
use tonic::Status;

use crate::{
    exchange::{Exchange, NotTraded},
    lab_quotes::LabQuotes,
    request_rate::{RequestRate, TooManyRequests},
    subscriptions::{MAX_SYMBOLS, Subscriptions, TooManySymbols},
};

/// Refusals kept for a client that does not read them; older ones are forgotten.
const MAX_REFUSALS: usize = 64;

/// Characters of a refused symbol that are repeated.
const REFUSED_CHARS: usize = 64;

/// What a stream is to be sent.
#[derive(Debug)]
pub struct QuotePlan {
    order: Order,
    rate: RequestRate,
    /// Whether the client wants to be told what came of its requests.
    answers: bool,
    answer_due: bool,
    refusals: VecDeque<Refusal>,
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
    pub fn new(lab: bool, now: Duration) -> Self {
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
            subscribed: 0,
        }
    }

    /// How often a symbol was subscribed to.
    pub fn subscribed(&self) -> u64 {
        self.subscribed
    }

    /// Follows a request.
    ///
    /// # Errors
    ///
    /// The status with which the stream ends: requests come too fast, or this one cannot be followed
    /// and the client does not read answers.
    pub fn take(
        &mut self,
        request: &TickerRequest,
        exchange: &Exchange,
        now: Duration,
    ) -> Result<(), Status> {
        self.rate.take(now).map_err(Refused::from)?;
        let Order::EveryTrade(_) = self.order else {
            // The lab's server knows of no actions.
            let symbol = TickerRequest {
                ticker_symbol: request.ticker_symbol.clone(),
                ..TickerRequest::default()
            };
            return Ok(self.follow(&symbol, exchange)?);
        };
        self.answers |= request.action != TickerAction::Unspecified as i32;
        let followed = self.follow(request, exchange);
        if !self.answers {
            return Ok(followed?);
        }
        self.answer_due = true;
        if let Err(refused) = followed {
            self.refusals.push_back(Refusal {
                ticker_symbol: request.ticker_symbol.chars().take(REFUSED_CHARS).collect(),
                reason: refused.to_string(),
            });
            if self.refusals.len() > MAX_REFUSALS {
                self.refusals.pop_front();
            }
        }
        Ok(())
    }

    fn follow(&mut self, request: &TickerRequest, exchange: &Exchange) -> Result<(), Refused> {
        let action =
            TickerAction::try_from(request.action).map_err(|_| Refused::Action(request.action))?;
        let symbol: Symbol = request.ticker_symbol.parse()?;
        #[cfg(test)]
        crate::fault::forced::at(crate::fault::forced::IN_REQUEST, symbol.as_str());
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
    pub fn next_due(&mut self, now: Duration) -> Option<StockUpdate> {
        match &mut self.order {
            Order::EveryTrade(subscriptions) => {
                if !self.answer_due {
                    return subscriptions.next_due(now);
                }
                self.answer_due = false;
                Some(StockUpdate {
                    subscriptions: Some(Answer {
                        ticker_symbols: subscriptions.symbols().map(Symbol::to_string).collect(),
                        refusals: self.refusals.drain(..).collect(),
                    }),
                    ..StockUpdate::default()
                })
            }
            Order::Lab(quotes) => quotes.next_due(now),
        }
    }

    /// When to look again after [`next_due`](Self::next_due) had nothing; `None`: after a request.
    pub fn next_look(&self, exchange: &Exchange, now: Duration) -> Option<Duration> {
        match &self.order {
            Order::EveryTrade(subscriptions) if subscriptions.is_empty() => None,
            Order::EveryTrade(_) => exchange.next_trade_after(now),
            Order::Lab(quotes) => quotes.due_at(),
        }
    }

    /// What it means that no request will come any more: `None`, nothing as yet; or the end, which
    /// is an error if nothing was ever asked for.
    pub fn end_of_requests(&self) -> Option<Result<(), Status>> {
        if self.subscribed == 0 {
            return Some(Err(Status::invalid_argument(format!(
                "no symbol was asked for; send 1 to {MAX_SYMBOLS} requests with one ticker_symbol each"
            ))));
        }
        let is_over = match &self.order {
            Order::EveryTrade(subscriptions) => subscriptions.is_empty() && !self.answer_due,
            Order::Lab(quotes) => quotes.is_empty(),
        };
        is_over.then_some(Ok(()))
    }
}

//! How sound comes from those who speak to those who hear them.
//!
//! `routing` chooses a route for each listener from the set of parties that it hears: nothing, *relay* (the one
//! speaker's packets as they came) or *mix*. `bus` is a mix for all listeners that hear the same in the same format:
//! encoded once. `voices` has each speaker's way into the mixer. Pure: `now` is passed in, and every 10 ms somebody
//! calls `Routing::tick`. Runs on the home worker of its call.

mod bus;
mod outgoing;
mod routing;
mod voices;

pub(crate) use outgoing::{Outgoing, Place, Received};
pub(crate) use routing::{LegFormat, Routing};

use std::time::Duration;

/// The mixer's clock.
pub(crate) const TICK: Duration = Duration::from_millis(10);

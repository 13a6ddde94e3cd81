//! Whether a microphone hears the loudspeaker, concluded from the call itself: no test sound. Pure.
//!
//! For each lag, the cross-spectrum of what was played and what was captured is averaged with only
//! its phase left. Where the one contains the other the phases agree and add up; whatever else is
//! in either turns them about and averages out. What tells is how far the best lag stands out of
//! all of them. (The generalised cross-correlation with phase transform of Knapp and Carter 1976,
//! summed incoherently over frequency, so that a room's reflections do not matter.)
//!
//! A call whose far end returns the near end's own voice does not mislead it: there the microphone
//! comes before the loudspeaker, and only lags after it are looked at.

mod cross_spectrum;
mod monitor;

pub use monitor::{Coupling, CouplingMonitor};

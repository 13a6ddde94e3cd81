//! How the service `CallCenter` behaves.

use std::time::Duration;

use audio::Effects;

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct CallCenterConfig {
    /// What a leg's sound goes through when its `Join` wishes nothing else.
    pub effects: Effects,
    /// Echo opaque bytes with the lab's stamp instead of processing sound.
    pub lab: bool,
    /// A leg whose peer sends nothing for so long, or reads nothing, is ended.
    pub idle_timeout: Duration,
    /// So many legs at once, no more.
    pub max_legs: usize,
    /// So many of them in one call.
    pub max_legs_per_call: usize,
    /// So many calls at once.
    pub max_calls: usize,
}

//! Calls: the service `callcenter.CallCenter`, the legs of its streams, and the calls that they are in.
//!
//! Read `service` first: each stream of `LiveCall` becomes a `leg`. Legs under one call id are in one `call`, which
//! says who hears whom; `route` is how; `bridge` is where that happens. What a leg costs, and the thread it runs on, is
//! the business of [`transport`](crate::transport).

mod bridge;
mod call;
mod config;
mod leg;
mod route;
mod service;

pub use config::CallCenterConfig;
pub use service::CallCenterService;

/// More legs a call cannot have.
pub const MAX_LEGS_PER_CALL: usize = call::MAX_PARTIES;

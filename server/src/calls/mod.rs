//! Calls: the service `callcenter.CallCenter`, and the legs of its streams.
//!
//! Read `service` first: each stream of `LiveCall` becomes a `leg`. What a leg costs, and the thread it runs on,
//! is the business of [`transport`](crate::transport).

mod config;
mod leg;
mod service;

pub use config::CallCenterConfig;
pub use service::CallCenterService;

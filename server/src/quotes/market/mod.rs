//! The simulated market: which symbols are listed, and a price for each at every moment.
//!
//! `directory` has the listings, `instrument` what is known of one, `brownian` its way through the days, `market` its
//! trades; `price` and `trade` are values. Pure: the same seed and time, the same price.

mod brownian;
mod directory;
mod instrument;
mod market;
mod price;
mod trade;

pub(crate) use directory::Directory;
pub(crate) use market::{Market, Walk};
pub(crate) use price::{Grid, Price};
pub(crate) use trade::{Day, Trade};

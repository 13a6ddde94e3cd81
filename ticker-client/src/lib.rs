//! ticker-client

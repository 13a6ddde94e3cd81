//! Live quotes from a stock ticker: asks for symbols over one stream and shows what comes.
//!
//! A [`Feed`] keeps the connection; [`run`] shows what it brings in the way that was asked for.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod alert;
pub mod args;
mod backoff;
pub mod change;
mod clock;
mod connection;
pub mod failure;
pub mod feed;
pub mod feed_event;
mod format;
mod keep;
mod kept_list;
pub mod lines;
mod link;
pub mod mode;
mod say;
pub mod settings;
pub mod show;
mod subscriptions;
pub mod tui;
mod typed;
pub mod watchlist;

use std::{
    future::pending,
    io::{self, IsTerminal},
};

use tokio::io::BufReader;
use tty::{EndSignal, SignalListener};

use alert::Alerts;
pub use args::Args;
pub use failure::Failure;
use feed::Feed;
use lines::{Limit, Lines};
use mode::Mode;
use settings::{Origin, Settings};
use show::Style;
use tui::View;

/// Shows quotes in this mode on the standard output until there were enough, the server has no more, nobody
/// reads them any more, or Ctrl-C.
///
/// # Errors
///
/// [`Failure`], whose words are for the person and whose [`code`](Failure::exit_code) is for the
/// shell.
pub async fn run(settings: Settings, mode: Mode, limit: Limit) -> Result<(), Failure> {
    let symbols = settings.subscriptions();
    let variables = variables(&settings);
    let server = settings.server.value;
    let feed = Feed::start(server.clone(), symbols.clone());
    let alerts = Alerts::new(settings.alerts.value);
    let style = match mode {
        Mode::Tui => {
            let view = View {
                feed,
                symbols,
                alerts,
                sort: settings.sort.value,
                server,
                limit,
                file: settings.file,
                variables,
            };
            return tui::run(view).await;
        }
        Mode::Plain => Style::Columns {
            colour: output::colour(io::stdout().is_terminal()),
        },
        Mode::Json => Style::Json,
        Mode::Csv => Style::Csv,
    };
    let lines = Lines {
        feed,
        symbols,
        server,
        input_is_terminal: io::stdin().is_terminal(),
        style,
        alerts,
        sort: settings.sort.value,
        bell: io::stderr().is_terminal(),
        limit,
    };
    let input = BufReader::new(tty::stdin());
    lines.run(input, tokio::io::stdout(), interrupt()).await
}

/// Returns at Ctrl-C.
async fn interrupt() {
    match SignalListener::new(EndSignal::Interrupt) {
        Ok(mut interrupt) => interrupt.recv().await,
        // Without a handler there is nothing to wait for: it then ends us the hard way.
        Err(_) => pending().await,
    }
}

/// The variables that decide something of the list that a configuration file could hold.
fn variables(settings: &Settings) -> Vec<&'static str> {
    let origins = [
        &settings.symbols.origin,
        &settings.alerts.origin,
        &settings.sort.origin,
    ];
    let names = origins.into_iter().filter_map(|origin| match origin {
        Origin::Environment(name) => Some(*name),
        _ => None,
    });
    names.collect()
}

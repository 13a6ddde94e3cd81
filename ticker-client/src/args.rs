//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{CommandFactory, Parser, builder::PossibleValuesParser};
use clap_complete::Shell;

use crate::mode::Mode;

const EXAMPLES: &str = "\
Examples:
  ticker-client AAPL GOOGL                          live quotes until Ctrl-C
  ticker-client --server quotes.lan BRK.B           from another machine
  ticker-client --alert 'AAPL>$250' --alert 'F -2%' say when it happens
  ticker-client ^GSPC EURUSD=X BTC-USD              an index, currencies
  ticker-client --mode csv --duration 1h AAPL > aapl.csv
  ticker-client --json --count 10 TSLA | jq .       ten updates, for a program

Modes:
  tui    a live table over the whole screen, ? shows its keys; the default on a terminal
  plain  a line of 80 characters for each update: time (UTC), symbol, price, change, shares, bid
         and ask; the default where there is no terminal
  json   an object for each update: ticker_symbol, current_price, price_change (both in dollars),
         change_percent, timestamp (seconds since 1970) and volume (shares). A newer server gives
         more: sequence, conflated, snapshot, bid_price, ask_price, day_open, day_high, day_low,
         day_volume, trade_time_us, and once a name. An update that raises an alert lists it
         under \"alerts\"
  csv    the same as columns under a header; `server --replay FILE` plays such a file
Connections lost and found, refused symbols and alerts are said on the standard error, but for tui.

While it runs in the other modes, symbols on the standard input are added: TSLA or +TSLA; and
dropped: -TSLA. A line that begins with # is ignored. So symbols can also come from a file:
  ticker-client --mode csv < symbols.txt

Each setting is taken from the first of these that has it:
  1. the command line
  2. the environment: TICKER_CLIENT_SERVER, TICKER_CLIENT_SYMBOLS (AAPL,TSLA), TICKER_CLIENT_MODE,
     TICKER_CLIENT_ALERTS (AAPL>250,TSLA%<-2), TICKER_CLIENT_SORT
  3. the configuration file: --config, TICKER_CLIENT_CONFIG, or ticker-client/config.toml where the
     system keeps such files ($XDG_CONFIG_HOME or ~/.config; %APPDATA% on Windows):
         server = \"quotes.lan:50051\"
         symbols = [\"AAPL\", \"TSLA\"]
         mode = \"plain\"
         alerts = [\"AAPL>250\"]
         sort = \"percent\"
  4. its default; --print-config shows what comes of it, and from where
In the table w writes symbols, alerts and order to that file, and q asks whether to, if they changed.

Exit codes: 0 good (also: whoever read has closed the pipe, as head does), 1 cannot write, 2 usage,
3 no connection, 4 rejected by the server. A connection that is lost later is made again.";

/// Shows live quotes from the stock ticker.
#[derive(Debug, Clone, Parser)]
#[command(name = "ticker-client", version, after_help = EXAMPLES)]
pub struct Args {
    /// Symbols to subscribe to, such as AAPL, BRK.B, ^GSPC or EURUSD=X; lower case is accepted.
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,

    /// The server to ask [default: 127.0.0.1:50051]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,

    /// How to show quotes [default: tui on a terminal, else plain]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,

    /// The same as --mode json.
    #[arg(long, conflicts_with = "mode")]
    pub json: bool,

    /// Stop after this many updates, of all symbols together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Stop after this time, such as 10s or 1h30m.
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,

    /// Say when this becomes true, and ring the terminal's bell; may be given several times. SYMBOL
    /// OP PRICE, where OP is one of > >= < <=, or SYMBOL% OP PERCENT for the day's change; also
    /// AAPL>$1,000, TSLA<-2%, TSLA -2%. The symbol is subscribed to. Once said, an alert is not said again before the
    /// figure was clearly back: a thousandth of the price, a tenth of a percentage point.
    #[arg(long = "alert", value_name = "ALERT")]
    pub alerts: Vec<String>,

    /// The order of the table: given, symbol, last, change, percent or volume, with :asc or :desc
    /// after it for a direction [default: given]
    #[arg(
        long,
        value_name = "COLUMN",
        ignore_case = true,
        hide_possible_values = true
    )]
    #[arg(value_parser = PossibleValuesParser::new(SORTS))]
    pub sort: Option<String>,

    /// Read this configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the settings, as a configuration file that says where each came from, and end.
    #[arg(long)]
    pub print_config: bool,

    /// Print a script that completes this program's arguments in a shell, and end.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

impl Args {
    /// The script with which a shell completes the arguments.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "ticker-client", &mut script);
        script
    }
}

/// Every order as it may be written, for shells to complete.
const SORTS: [&str; 18] = [
    "given",
    "given:asc",
    "given:desc",
    "symbol",
    "symbol:asc",
    "symbol:desc",
    "last",
    "last:asc",
    "last:desc",
    "change",
    "change:asc",
    "change:desc",
    "percent",
    "percent:asc",
    "percent:desc",
    "volume",
    "volume:asc",
    "volume:desc",
];

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it like 500ms, 10s or 1h30m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchlist::Sort;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn one_mode_can_be_asked_for() {
        let modes = ["ticker-client", "--json", "--mode", "csv", "AAPL"];
        assert!(Args::try_parse_from(modes).is_err());
    }

    #[test]
    fn every_order_that_can_be_completed_is_one() {
        for name in SORTS {
            let args = Args::try_parse_from(["ticker-client", "--sort", name]);
            let sort = args.expect(name).sort.expect(name);
            assert!(sort.parse::<Sort>().is_ok(), "{name}");
        }
        for (text, accepted) in [("Percent:ASC", true), ("price", false)] {
            let args = Args::try_parse_from(["ticker-client", "--sort", text]);
            assert_eq!(args.is_ok(), accepted, "{text}");
        }
    }

    #[test]
    fn a_duration_is_some_time() {
        for (text, accepted) in [
            ("10s", true),
            ("1h 30m", true),
            ("0s", false),
            ("10", false),
        ] {
            let args = ["ticker-client", "--duration", text, "AAPL"];
            assert_eq!(Args::try_parse_from(args).is_ok(), accepted, "{text}");
        }
    }
}

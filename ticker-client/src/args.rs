//! What can be said on the command line.

use clap::Parser;
use proto::ServerAddress;

const EXAMPLES: &str = "\
Examples:
  ticker-client AAPL GOOGL                     live quotes until Ctrl-C
  ticker-client --server quotes.lan BRK.B      from another machine
  ticker-client --json --count 10 TSLA | jq .  ten updates, for a program

While it runs, symbols typed on the standard input are added.

Each line of --json has the keys ticker_symbol, current_price, price_change (both in dollars),
change_percent, timestamp (seconds since 1970) and volume (shares). Times on a line are UTC.

Exit codes: 0 good, 1 cannot write, 2 usage, 3 no connection or connection lost, 4 rejected by the
server.";

/// Shows live quotes from the stock ticker, one line for each update.
#[derive(Debug, Clone, Parser)]
#[command(name = "ticker-client", version, after_help = EXAMPLES)]
pub struct Args {
    /// Symbols to subscribe to, such as AAPL or BRK.B; lower case is accepted.
    #[arg(value_name = "SYMBOL", required = true)]
    pub symbols: Vec<String>,

    /// The server to ask.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:50051")]
    pub server: ServerAddress,

    /// Stop after this many updates, of all symbols together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Print each update as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}

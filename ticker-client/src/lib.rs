//! Live quotes from a stock ticker: asks for symbols over one stream and shows what comes.
//!
//! [`run`] shows updates as they come and subscribes to what a reader task beside it finds on the
//! input. The request stream is never half-closed, because more may be typed at any time.

pub mod args;
pub mod connection;
pub mod failure;
pub mod feed;
pub mod show;
pub mod typed;
pub mod watchlist;

use std::{io, ops::ControlFlow};

use proto::{
    Symbol,
    fin::{StockUpdate, TickerRequest},
};
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::Status;

pub use args::Args;
use connection::Keepalive;
pub use failure::Failure;
use show::Style;

/// Symbols on their way from the input to the transport.
const REQUEST_QUEUE: usize = 16;

/// Shows quotes on `output` until `--count` of them were shown, the server ends the stream, or
/// nobody reads the output any more; subscribes to what is read from `input` meanwhile.
///
/// # Errors
///
/// [`Failure`], whose words are for the person and whose [`code`](Failure::exit_code) is for the
/// shell.
pub async fn run<I, O>(args: &Args, style: Style, input: I, output: O) -> Result<(), Failure>
where
    I: AsyncBufRead + Send + Unpin + 'static,
    O: AsyncWrite + Unpin,
{
    let asked = typed::symbols_of_args(&args.symbols)?;
    let (typed_tx, typed_rx) = mpsc::channel(REQUEST_QUEUE);
    let reader = tokio::spawn(typed::read_symbols(input, typed_tx));
    let mut viewer = Viewer {
        args,
        style,
        output,
        asked,
        typed_rx,
        left: args.count,
    };
    let mut result = viewer.watch(Keepalive::Pings).await;
    if matches!(result, Err(Failure::PingsUnwanted)) {
        eprintln!("{} wants no pings; connecting without them.", args.server);
        result = viewer.watch(Keepalive::None).await;
    }
    reader.abort();
    result
}

/// The person's side, which outlives a connection.
struct Viewer<'a, O> {
    args: &'a Args,
    style: Style,
    output: O,
    /// All symbols until now, in order.
    asked: Vec<Symbol>,
    typed_rx: mpsc::Receiver<Symbol>,
    /// Updates still to be shown; `None`: no limit.
    left: Option<u64>,
}

impl<O: AsyncWrite + Unpin> Viewer<'_, O> {
    /// One connection, from its first request to its end.
    async fn watch(&mut self, keepalive: Keepalive) -> Result<(), Failure> {
        let server = &self.args.server;
        let (requests_tx, requests_rx) = mpsc::channel(REQUEST_QUEUE);
        let requests = tokio_stream::iter(self.asked.clone())
            .chain(ReceiverStream::new(requests_rx))
            .map(|symbol| TickerRequest {
                ticker_symbol: symbol.to_string(),
                ..TickerRequest::default()
            });
        let mut updates = connection::subscribe(server, keepalive, requests).await?;
        let mut input_open = true;
        loop {
            tokio::select! {
                update = updates.message() => {
                    if self.show(update).await?.is_break() {
                        return Ok(());
                    }
                }
                typed = self.typed_rx.recv(), if input_open => match typed {
                    // When it cannot be sent, the updates say why.
                    Some(symbol) => if requests_tx.send(symbol.clone()).await.is_ok() {
                        self.remember(symbol);
                    },
                    None => input_open = false,
                }
            }
        }
    }

    fn remember(&mut self, symbol: Symbol) {
        if !self.asked.contains(&symbol) {
            self.asked.push(symbol);
        }
    }

    async fn show(
        &mut self,
        update: Result<Option<StockUpdate>, Status>,
    ) -> Result<ControlFlow<()>, Failure> {
        let server = &self.args.server;
        let Some(update) = update.map_err(|status| Failure::from_status(server, &status))? else {
            eprintln!("{server} has no more quotes to send.");
            return Ok(ControlFlow::Break(()));
        };
        let line = self.style.line(&update) + "\n";
        match write(&mut self.output, &line).await {
            Ok(()) => {}
            // Whoever read this has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ControlFlow::Break(()));
            }
            Err(error) => return Err(Failure::Output(error)),
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(match self.left {
            Some(0) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }
}

async fn write<O: AsyncWrite + Unpin>(output: &mut O, line: &str) -> io::Result<()> {
    output.write_all(line.as_bytes()).await?;
    output.flush().await
}

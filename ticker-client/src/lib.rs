//! Live quotes from a stock ticker: asks for symbols over one stream and shows what comes.
//!
//! [`run`] shows what a [`Feed`] brings and passes on what a reader task beside it finds on the
//! input. The feed keeps the connection.

pub mod alert;
pub mod args;
mod backoff;
pub mod connection;
pub mod failure;
pub mod feed;
mod link;
pub mod show;
mod subscriptions;
pub mod tui;
pub mod typed;
pub mod watchlist;

use std::io;

use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

pub use args::Args;
pub use failure::Failure;
use feed::{Change, Feed, FeedEvent};
use show::Style;

/// Shows quotes on `output` until `--count` of them were shown, the server ends the stream, or
/// nobody reads the output any more; subscribes to what is read from `input` meanwhile.
///
/// # Errors
///
/// [`Failure`], whose words are for the person and whose [`code`](Failure::exit_code) is for the
/// shell.
pub async fn run<I, O>(args: &Args, style: Style, input: I, mut output: O) -> Result<(), Failure>
where
    I: AsyncBufRead + Send + Unpin + 'static,
    O: AsyncWrite + Unpin,
{
    let symbols = typed::symbols_of_args(&args.symbols)?;
    let Feed {
        mut events,
        changes,
    } = Feed::start(args.server.clone(), symbols);
    let (typed_tx, mut typed_rx) = mpsc::channel(1);
    let reader = tokio::spawn(typed::read_symbols(input, typed_tx));
    tokio::spawn(async move {
        while let Some(symbol) = typed_rx.recv().await {
            if changes.send(Change::Add(symbol)).await.is_err() {
                break;
            }
        }
    });
    let mut left = args.count;
    while let Some(event) = events.recv().await {
        match event? {
            FeedEvent::Update(update) => {
                let line = style.line(&update) + "\n";
                match write(&mut output, &line).await {
                    Ok(()) => {}
                    // Whoever read this has seen enough, as `head` does.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(Failure::Output(error)),
                }
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    reader.abort();
                    return Ok(());
                }
            }
            FeedEvent::Connected => {}
            FeedEvent::Refused { symbol, why } => eprintln!("{symbol} is refused: {why}"),
            FeedEvent::Lost { why, retry_in } => eprintln!(
                "the connection to {} is lost: {why}; trying again in {retry_in:.1?}",
                args.server
            ),
        }
    }
    eprintln!("{} has no more quotes to send.", args.server);
    Ok(())
}

async fn write<O: AsyncWrite + Unpin>(output: &mut O, line: &str) -> io::Result<()> {
    output.write_all(line.as_bytes()).await?;
    output.flush().await
}

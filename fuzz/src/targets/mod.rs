//! The targets, and what each promises.

mod decoder;
mod jitter_buffer;
mod leg;
mod quotes;
mod settings;
mod sound;
mod tape;
#[cfg(unix)]
mod terminal_input;
mod ticker;
mod wav;

/// Something that reads bytes of others.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of the directory of its seeds.
    pub name: &'static str,
    /// Gives it these bytes, and says in a few words what became of them. Panics where a promise is
    /// broken.
    pub run: fn(&[u8]) -> String,
    /// Inputs of a short run: some two seconds of a quiet machine.
    pub short_run: u64,
}

/// All of them.
pub static TARGETS: &[Target] = &[
    // Chunks of a peer, to the server.
    target("leg", leg::run, 400),
    // Requests of a peer, to the server's ticker.
    target("ticker", ticker::run, 1_000),
    // Packets and the time, to the speaker.
    target("jitter_buffer", jitter_buffer::run, 30),
    // Payloads of every codec.
    target("decoder", decoder::run, 600),
    // A file for --source.
    target("wav", wav::run, 3_000),
    // A file for --replay.
    target("tape", tape::run, 1_000),
    // The ticker client's configuration file and arguments.
    target("settings", settings::run, 1_000),
    // What a terminal sends to the softphone.
    #[cfg(unix)]
    target("terminal_input", terminal_input::run, 10_000),
    // What a ticker sends to its client.
    target("quotes", quotes::run, 10_000),
];

const fn target(name: &'static str, run: fn(&[u8]) -> String, short_run: u64) -> Target {
    Target {
        name,
        run,
        short_run,
    }
}

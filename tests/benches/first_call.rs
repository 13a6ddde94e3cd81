//! A call by default and with flags, and beside a loudspeaker, as it is heard.
//!
//!     cargo bench -p tests --bench first_call

use std::time::Duration;

use tests::{
    heard_call::heard_call,
    rig::{Rig, clean_run},
    signals::speech,
};

const TEXT: &str = "Good morning, you are through to the call centre. My name is Anna, what can I do \
    for you? One moment please, I look for your order. Here it is: it left our house on Tuesday, and \
    should be with you by the end of the week. Is there anything else? Then I wish you a good day.";

fn main() {
    let Some(words) = speech(TEXT) else { return };
    println!(
        "| flags | loudspeaker | PESQ | missing | mouth to ear, ms (p95) | told MOS | canceller |"
    );
    println!("|---|---|---:|---:|---:|---:|---|");
    let unheard: [&[&str]; 5] = [
        &[],
        &["--aec", "off"],
        &["--aec", "on"],
        &["--aec", "off", "--bitrate", "32000"],
        &["--aec", "off", "--effects", "none"],
    ];
    for flags in unheard {
        row(flags, None, &words);
    }
    for gain_db in [-20.0, -10.0, 0.0, 6.0] {
        row(&[], Some(gain_db), &words);
    }
}

fn row(flags: &[&str], gain_db: Option<f64>, words: &[f32]) {
    let Some(rig) = Rig::start() else { return };
    if let Some(gain_db) = gain_db {
        rig.put_speaker_next_to_microphone(Duration::from_millis(120), gain_db);
    }
    let call = clean_run(|| heard_call(&rig, flags, words));
    let flags = match flags {
        [] => "none".to_owned(),
        flags => format!("`{}`", flags.join(" ")),
    };
    println!(
        "| {flags} | {} | {} | {:.1} % | {:.1} ({:.1}) | {} | {} |",
        gain_db.map_or_else(|| "not heard".to_owned(), |gain| format!("{gain:+.0} dB")),
        call.pesq
            .map_or_else(|| "-".to_owned(), |pesq| format!("{pesq:.2}")),
        100.0 * call.missing,
        call.delay_ms[0],
        call.delay_ms[1],
        match call.figures["mos"]["mean"].as_f64() {
            Some(mos) => format!("{mos:.2}"),
            None => "none".to_owned(),
        },
        match call.figures["echo"]["canceller"].as_bool() {
            Some(true) => "on",
            Some(false) => "off",
            None => "?",
        },
    );
}

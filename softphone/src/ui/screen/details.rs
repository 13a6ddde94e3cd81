//! What is under the status when it is asked for: where the time goes, or the keys. Pure.

use crate::{
    engine::delay::Stages,
    report::{
        Report,
        call_status::CallStatus,
        text_layout::{table, wrap},
    },
};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// The delay, stage by stage, and what else there is to know.
    Details,
    /// The keys.
    Keys,
}

/// Columns of a name and its figure.
const CELL: usize = 21;

/// Each key, and what it does.
const KEYS: [(&str, &str); 9] = [
    ("m", "mute, and unmute"),
    ("space", "talk while held (or mute)"),
    ("h", "hold, and back"),
    ("0-9", "telephone keys, also * and #"),
    ("+ -", "volume"),
    ("d", "where the time goes"),
    ("?", "these keys"),
    ("^Z", "stop; fg or bg: go on"),
    ("q", "hang up"),
];

impl Panel {
    pub(super) fn lines(self, status: &CallStatus, width: usize) -> Vec<String> {
        match self {
            Self::Details => details(status, width),
            Self::Keys => keys(width),
        }
    }
}

fn details(status: &CallStatus, width: usize) -> Vec<String> {
    let engine = &status.engine;
    let mut lines = match &engine.call_stats.now {
        Some(stages) => {
            let total = format!("mouth to ear {:.1} ms:", us_to_ms(stages.total()));
            [
                wrap(&total, width, 0),
                table(&stage_cells(stages, width), width),
            ]
            .concat()
        }
        None => {
            let why = match engine.call_stats.newest {
                Some(_) => "nothing is heard",
                None => "the server has not told its part",
            };
            wrap(&format!("mouth to ear unknown: {why}"), width, 0)
        }
    };
    lines.extend(table(&other_cells(status, width), width));
    lines
}

fn stage_cells(stages: &Stages, width: usize) -> Vec<String> {
    let cell = |(name, us): (&str, u32)| {
        let name = name.replace('_', " ");
        match width < CELL {
            true => format!("{} {:.1}", name.trim_end_matches(" device"), us_to_ms(us)),
            false => format!("{name:<15} {:5.1}", us_to_ms(us)),
        }
    };
    Stages::NAMES
        .into_iter()
        .zip(stages.array())
        .map(cell)
        .collect()
}

/// Names and figures in the columns of the stages.
fn other_cells(status: &CallStatus, width: usize) -> Vec<String> {
    let engine = &status.engine;
    let buffer = &engine.jitter_buffer;
    let mut figures: Vec<(&str, String)> = Vec::new();
    let round_trip = status.session.round_trip;
    figures
        .extend(round_trip.map(|rtt| ("round trip", format!("{:.1} ms", rtt.as_secs_f64() * 1e3))));
    figures.push(("buffer", format!("{:.0} ms", buffer.depth_us as f64 / 1e3)));
    figures.push((
        "concealed",
        format!("{:.1} %", Report::concealed_ratio(engine) * 100.0),
    ));
    figures.push(("dropped", status.dropped.to_string()));
    figures.push(("drift", format!("{:.0} ppm", engine.drift_ppm)));
    figures.extend(
        engine
            .echo
            .kind
            .map(|kind| ("canceller", kind.name().to_owned())),
    );
    let erle_db = engine.near_end.and_then(|near_end| near_end.erle_db);
    figures.extend(erle_db.map(|db| ("echo", format!("-{:.0} dB", db.max(0.0)))));
    let xruns = engine.microphone.xruns + engine.speaker.xruns;
    figures.push(("xruns", xruns.to_string()));
    let cell = |(name, figure): (&str, String)| match width < CELL {
        true => format!("{name} {figure}"),
        false => format!("{name:<12} {figure:>8}"),
    };
    figures.into_iter().map(cell).collect()
}

fn keys(width: usize) -> Vec<String> {
    let cells = KEYS.map(|(key, what)| format!("{key:<5}  {what}"));
    table(&cells, width)
}

fn us_to_ms(us: u32) -> f64 {
    f64::from(us) / 1e3
}

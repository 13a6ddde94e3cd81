//! What a ticker sends to its client: whatever it is, the lines that are made of it can be shown and
//! read, and stay lines.

use prost::Message;
use proto::{fin::StockUpdate, text::is_printable};
use ticker_client::{alert::Alerts, show::Style};

/// More fits no screen and no log.
const MAX_CHARS: usize = 4_000;

pub(super) fn run(bytes: &[u8]) -> String {
    let Ok(update) = StockUpdate::decode(bytes) else {
        return "no update".to_owned();
    };
    let alerts = ["AAPL>100", "AAPL%<-2"].map(|alert| alert.parse().expect("an alert"));
    let alarms = Alerts::new(alerts.to_vec()).check(&update);
    for alarm in &alarms {
        assert!(is_printable(&alarm.to_string()), "{alarm}");
    }
    let columns = Style::Columns { colour: false }.line(&update, &alarms);
    let csv = Style::Csv.line(&update, &alarms);
    let json = Style::Json.line(&update, &alarms);
    for line in [&columns, &csv, &json] {
        assert!(is_printable(line), "{line:?}");
    }
    // A name of any length is the far end's doing: nothing else may make a line long.
    let most = MAX_CHARS + 12 * update.ticker_symbol.len();
    assert!(columns.len() <= most && csv.len() <= most, "{columns}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("a line of JSON");
    assert!(value.is_object());
    let figures = [
        update.current_price,
        update.price_change,
        update.change_percent,
    ];
    format!(
        "{} alarms, finite {:?}, symbol {}",
        alarms.len(),
        figures.map(f64::is_finite),
        update.ticker_symbol.parse::<proto::Symbol>().is_ok()
    )
}

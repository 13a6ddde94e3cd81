//! JSON whose texts hold what a screen may hold: names, ids and words of others stand in it as they are
//! shown to people, `\u{202e}` for what nobody sees. Whoever prints a value of it needs no care.

use proto::text::one_line;
use serde_json::Value;

/// All texts of `value` in the form in which they are shown. Keys are ours, and stay.
pub(crate) fn printable(value: Value) -> Value {
    match value {
        Value::String(text) => one_line(&text).into(),
        Value::Array(values) => values.into_iter().map(printable).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter();
            entries
                .map(|(key, value)| (key, printable(value)))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_shown_at_any_depth_and_all_else_stays() {
        let value = json!({"a": ["x\u{202e}", {"b": "\u{1b}[2J"}], "c": 1.5, "d": null, "e": "é"});
        let shown = json!({
            "a": ["x\\u{202e}", {"b": "\\u{1b}[2J"}], "c": 1.5, "d": null, "e": "é"
        });
        assert_eq!(printable(value), shown);
    }
}

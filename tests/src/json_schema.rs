//! Whether JSON is what a schema says: the few words of JSON Schema that ours use, and stricter in
//! one thing: a key that the schema does not name is a fault, because it is not documented.

use serde_json::Value;

/// Checks `value` against the part of `schema` that `reference` names (`#/$defs/report`).
///
/// # Panics
///
/// With the path of what is wrong, and when the schema has a word that is not understood here.
pub fn assert_matches(schema: &Value, reference: &str, value: &Value) {
    if let Err(fault) = check(schema, &resolve(schema, reference), value, "") {
        panic!("not as {reference} says: {fault}\n{value:#}");
    }
}

fn resolve(schema: &Value, reference: &str) -> Value {
    let part = reference
        .strip_prefix('#')
        .and_then(|pointer| schema.pointer(pointer));
    part.unwrap_or_else(|| panic!("the schema has no {reference}"))
        .clone()
}

fn check(schema: &Value, rule: &Value, value: &Value, path: &str) -> Result<(), String> {
    let words = rule.as_object().expect("a rule is an object");
    for (word, operand) in words {
        let is_met = match word.as_str() {
            "description" => true,
            "$ref" => {
                let reference = operand.as_str().expect("a reference is text");
                check(schema, &resolve(schema, reference), value, path)?;
                true
            }
            "anyOf" => list(operand)
                .iter()
                .any(|rule| check(schema, rule, value, path).is_ok()),
            "type" => match operand {
                Value::Array(names) => names.iter().any(|name| is_of(value, name)),
                name => is_of(value, name),
            },
            "const" => value == operand,
            "enum" => list(operand).contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| Some(number) >= operand.as_f64()),
            "required" => {
                let keys = list(operand).iter().filter_map(Value::as_str);
                let mut missing = keys.filter(|key| value.is_object() && value.get(key).is_none());
                if let Some(key) = missing.next_back() {
                    return Err(format!("{path}/{key} is missing"));
                }
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let path = format!("{path}/{key}");
                    let rule = operand
                        .get(key)
                        .ok_or(format!("{path} is not documented"))?;
                    check(schema, rule, value, &path)?;
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(schema, operand, value, &format!("{path}/{index}"))?;
                }
                true
            }
            _ => panic!("the schema says {word:?}, which is not understood here"),
        };
        if !is_met {
            return Err(format!("{path} is {value}, not of {word} {operand}"));
        }
    }
    Ok(())
}

fn list(operand: &Value) -> &[Value] {
    operand.as_array().expect("a list")
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type is text") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has a type {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(rule: &Value, value: &Value) -> String {
        check(&json!({}), rule, value, "").expect_err("a fault")
    }

    #[test]
    fn each_fault_is_found() {
        let rule = json!({
            "type": "object",
            "properties": {
                "a": { "type": ["integer", "null"], "minimum": 0 },
                "b": { "type": "array", "items": { "enum": ["x", "y"] } },
            },
            "required": ["a"],
        });
        assert_eq!(
            check(&json!({}), &rule, &json!({"a": 1, "b": ["x"]}), ""),
            Ok(())
        );
        assert_eq!(check(&json!({}), &rule, &json!({"a": null}), ""), Ok(()));
        for (value, words) in [
            (json!([]), "not of type"),
            (json!({}), "/a is missing"),
            (json!({"a": 1.5}), "/a is 1.5, not of type"),
            (json!({"a": -1}), "/a is -1, not of minimum"),
            (json!({"a": 1, "b": ["z"]}), "/b/0 is \"z\", not of enum"),
            (json!({"a": 1, "c": 1}), "/c is not documented"),
        ] {
            let fault = fault(&rule, &value);
            assert!(fault.contains(words), "{fault}");
        }
    }
}

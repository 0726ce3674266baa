//! As much of JSON Schema as `docs/reading.schema.json` uses; a keyword this does not know fails the test. `pattern` is
//! left to real validators.

use serde_json::Value;

const SCHEMA: &str = include_str!("../../../docs/reading.schema.json");

/// Whether a line agrees with the schema, or the first place where it does not.
pub fn check(line: &Value) -> Result<(), String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    agrees(&schema, &schema, line)
}

fn agrees(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, expected) in schema.as_object().unwrap() {
        if !holds(root, keyword, expected, value) {
            return Err(format!("{value} against {keyword} {expected}"));
        }
    }
    Ok(())
}

fn holds(root: &Value, keyword: &str, expected: &Value, value: &Value) -> bool {
    let is_valid = |schema: &Value, value: &Value| agrees(root, schema, value).is_ok();
    let options = || expected.as_array().unwrap().iter();
    match keyword {
        "$schema" | "title" | "description" | "$defs" | "pattern" => true,
        "$ref" => is_valid(root.pointer(expected.as_str().unwrap().strip_prefix('#').unwrap()).unwrap(), value),
        "type" if expected.is_array() => options().any(|name| is_type(name.as_str().unwrap(), value)),
        "type" => is_type(expected.as_str().unwrap(), value),
        "const" => value == expected,
        "enum" => options().any(|option| option == value),
        "required" => options().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => {
            let named = expected.as_object().unwrap();
            named.iter().all(|(key, schema)| value.get(key).is_none_or(|inner| is_valid(schema, inner)))
        }
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| is_valid(expected, item))),
        "anyOf" => options().any(|schema| is_valid(schema, value)),
        "oneOf" => options().filter(|schema| is_valid(schema, value)).count() == 1,
        "minimum" => value.as_f64().is_none_or(|number| number >= expected.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= expected.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= expected.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= expected.as_u64().unwrap()),
        _ => panic!("the schema uses `{keyword}`, which this check does not know"),
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => panic!("the schema uses type `{name}`, which this check does not know"),
    }
}

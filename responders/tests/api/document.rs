//! The OpenAPI document: what is served, what is committed, and whether it holds together.

use std::collections::BTreeSet;
use std::path::Path;

use responders::api::document;
use responders::rights::Role;
use serde_json::Value;

use crate::support::Site;

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let served = Site::new().as_role(Role::Viewer, "GET", "/openapi.json", None);
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.text, document::openapi().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("VEDETTE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &served.text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let told = "docs/openapi.json is not what is served; VEDETTE_WRITE_DOCS=1 with this test writes it";
    assert!(committed == served.text, "{told}");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&document::openapi().unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}")), "nothing uses {name}");
    }
    assert_eq!(document["security"], serde_json::json!([{"token": []}]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");

    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}: its id is another's");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let parameters: Vec<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|given| given["name"].as_str().unwrap())
                .collect();
            assert_eq!(path.contains("{id}"), parameters.contains(&"id"), "{method} {path}: {parameters:?}");
            assert_eq!(method != "get", parameters.contains(&"Idempotency-Key"), "{method} {path}");
            for status in ["400", "401", "403", "429"] {
                let refusal = &operation["responses"][status]["$ref"];
                assert_eq!(refusal, &format!("#/components/responses/{status}"), "{method} {path}");
            }
        }
    }
    for (status, response) in document["components"]["responses"].as_object().unwrap() {
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Problem", "{status}");
    }
}

/// docs/api.md has a row for each call, with its role.
#[test]
fn the_page_for_people_lists_the_same_calls() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md")).unwrap();
    let rows: BTreeSet<Vec<&str>> = page
        .lines()
        .filter(|line| ["| `GET", "| `POST", "| `PUT", "| `DELETE"].iter().any(|start| line.starts_with(start)))
        .map(|line| line.trim_matches('|').split('|').take(2).map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let document: Value = serde_json::from_str(&document::openapi().unwrap()).unwrap();
    let mut calls = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            calls.insert((format!("{} {path}", method.to_uppercase()), operation["x-role"].as_str().unwrap()));
        }
    }
    let calls: BTreeSet<Vec<&str>> = calls.iter().map(|(call, role)| vec![call.as_str(), *role]).collect();
    assert_eq!(rows, calls, "docs/api.md (left) and what is served (right)");
}

/// Every field of what is answered is described, with its words.
#[test]
fn answers_are_what_the_document_says() {
    let site = Site::new();
    let document: Value = serde_json::from_str(&document::openapi().unwrap()).unwrap();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let described = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let Some(reference) = described.as_str() else { continue };
        let path = path.replace("{id}", "act:pump-7%2Fquarantine");
        let answer = site.as_role(Role::Administrator, "GET", &path, None);
        check(&document, &serde_json::json!({"$ref": reference}), &answer.json(), &path);
        seen += 1;
    }
    assert_eq!(seen, 10, "all that is read but the document itself");
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return check(document, target, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().find(|choice| choice["$ref"].is_string() != value.is_null());
        return check(document, fits.unwrap_or_else(|| panic!("{place}: {schema}")), value, place);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        many => {
            many.as_array().unwrap_or_else(|| panic!("{place}: {schema}")).iter().filter_map(Value::as_str).collect()
        }
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&found), "{place}: {value} is {found}, the document says {types:?}");
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], value, &format!("{place}[{index}]"));
    }
    let Some(fields) = value.as_object() else { return };
    for needed in schema["required"].as_array().into_iter().flatten() {
        assert!(fields.contains_key(needed.as_str().unwrap()), "{place} has no {needed}");
    }
    for (name, value) in fields {
        let properties = &schema["properties"][name];
        let described = if properties.is_null() { &schema["additionalProperties"] } else { properties };
        assert!(described.is_object(), "{place}.{name} is not in the document");
        check(document, described, value, &format!("{place}.{name}"));
    }
}

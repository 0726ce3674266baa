use super::*;
use crate::gateways::http::shipped;

/// What `Product::parse` says of the shipped EMQX file with one thing replaced.
fn wrong(from: &str, to: &str) -> String {
    let source = shipped::source("emqx5").unwrap();
    assert!(source.contains(from), "`{from}` is no longer in the file");
    Product::parse("mine.toml", &source.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn every_shipped_file_can_be_right() {
    for (name, source) in shipped::PRODUCTS {
        let product = Product::parse(name, source).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(product.name, *name);
    }
}

#[test]
fn mistakes_are_shown_with_their_line() {
    let unknown_field = wrong("name = \"emqx5\"", "name = \"emqx5\"\ncolour = 1");
    assert!(unknown_field.contains("unknown field `colour`") && unknown_field.contains('^'), "{unknown_field}");

    let misspelt = wrong("{{ client_id }}", "{{ clientid }}");
    assert!(misspelt.contains("`clientid` is not known here") && misspelt.contains("     ^"), "{misspelt}");
    assert!(misspelt.contains("line "), "{misspelt}");

    let not_a_condition = wrong("answer.status == 204", "answer.status === 204");
    assert!(not_a_condition.contains("line ") && not_a_condition.contains('^'), "{not_a_condition}");

    let not_kept = wrong("kept.ban.by", "kept.bann.by");
    assert!(not_kept.contains("`kept.bann.by` is not known here"), "{not_kept}");
}

#[test]
fn what_looks_does_not_touch() {
    let source = shipped::source("emqx5").unwrap();
    let look = source.split("[[abilities.look]]").nth(1).unwrap();
    let message = wrong(look, &look.replacen("\"GET\"", "\"DELETE\"", 1));
    assert!(message.contains("nothing may be changed"), "{message}");
}

#[test]
fn secrets_are_not_seen_by_conditions() {
    let message = wrong("kept.ban.by != mark", "kept.ban.by != secret.password");
    assert!(message.contains("`secret.password` is not known here"), "{message}");
}

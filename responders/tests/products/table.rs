//! The table of products in `docs/gateways.md` says what their files say.

use std::path::Path;

use responders::gateways::Repeat;
use responders::gateways::http::{Product, shipped};

const BEGIN: &str = "<!-- products -->\n";
const END: &str = "<!-- end of products -->";

fn table() -> String {
    let mut table = String::from("| product | level | by | cuts sessions | ends by itself | undone | asked twice |\n");
    table.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    let mut notes = String::new();
    for (name, source) in shipped::PRODUCTS {
        let product = Product::parse(name, source).unwrap();
        for ability in &product.abilities {
            let keys: Vec<&str> = ability.keys.iter().map(|key| key.name()).collect();
            let yes = |yes: bool| if yes { "yes" } else { "no" };
            let repeat = match ability.repeat {
                Repeat::Harmless => "nothing",
                Repeat::Error => "error",
                Repeat::Duplicate => "duplicate",
            };
            table.push_str(&format!(
                "| `{name}` | {} | {} | {} | {} | {} | {repeat} |\n",
                ability.level.name(),
                keys.join(", "),
                yes(ability.cuts_sessions),
                yes(ability.ends_by_itself),
                yes(ability.can_be_undone),
            ));
        }
        let settings: Vec<String> = product.settings.keys().map(|name| format!("`{name}`")).collect();
        let secrets: Vec<String> = product.secrets.keys().map(|name| format!("`{name}`")).collect();
        let settings = if settings.is_empty() { String::new() } else { format!(" Settings: {}.", settings.join(", ")) };
        notes.push_str(&format!(
            "\n**{}** (`{name}`, {}).{settings} Secrets: {}.\n",
            product.title,
            product.vendor,
            secrets.join(", ")
        ));
        notes.push_str(&format!("Needs: {}\nChecked: {}\n", product.needs, product.checked));
    }
    format!("{table}{notes}")
}

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gateways.md")).unwrap()
}

#[test]
fn the_example_is_a_product() {
    let example = document().split("```").find(|block| block.starts_with("toml\nname = ")).unwrap()[5..].to_owned();
    let product = Product::parse("docs/gateways.md", &example).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(product.name, "my-broker");
}

#[test]
fn the_documents_say_what_the_files_say() {
    let text = document();
    let written = text.split(BEGIN).nth(1).and_then(|rest| rest.split(END).next());
    let table = table();
    let to_write = Path::new(env!("CARGO_TARGET_TMPDIR")).join("products-table.md");
    if written != Some(table.as_str()) {
        std::fs::write(&to_write, &table).unwrap();
        panic!("`docs/gateways.md` differs from the product files; what belongs there is in `{}`", to_write.display());
    }
}

//! The page "your own data": its example, as printed, through the whole product.

use crate::support::{count, replay, score_card};

fn block(page: &str, language: &str, number: usize) -> String {
    let opening = format!("```{language}\n");
    page.split(&opening).nth(number + 1).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

#[test]
fn the_twenty_lines_replay() {
    let page = std::fs::read_to_string("docs/your-own-data.md").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.toml"), block(&page, "toml", 0)).unwrap();
    std::fs::write(folder.path().join("devices.csv"), block(&page, "csv", 0)).unwrap();
    std::fs::write(folder.path().join("flows.csv"), block(&page, "csv", 1)).unwrap();
    let out = folder.path().join("out");
    replay(&folder.path().join("mine.toml"), &out, &["--path", folder.path().to_str().unwrap()]);
    assert_eq!(count(&out, "select count(*) from windows"), 2);
    assert_eq!(score_card(&out)["incidents_total"], 1);
}

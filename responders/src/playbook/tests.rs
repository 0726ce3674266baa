use std::collections::BTreeSet;
use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Confidence, DeviceKey, FindingKind, Profile, Scope, Severity};

use super::*;

const PLAIN: &str = r#"
id = "plain"
title = "A title"
when = "kind = 'compromise'"
[[step]]
level = "quarantine"
ttl = "4h"
"#;

fn with(before: &str, after: &str) -> String {
    assert!(PLAIN.contains(before), "{before}");
    PLAIN.replacen(before, after, 1)
}

fn parsed(text: &str) -> Playbook {
    Playbook::parse(text, "a.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The message, and what stands above the caret.
fn refused(text: &str) -> (String, String) {
    let error = Playbook::parse(text, "a.toml").unwrap_err().to_string();
    let [head, _, line, caret] = error.lines().collect::<Vec<_>>()[..] else { panic!("{error}") };
    assert!(head.starts_with("a.toml:"), "{error}");
    let from = caret.find('^').unwrap();
    let marked = line[from..].chars().take(caret.matches('^').count()).collect();
    (error.clone(), marked)
}

#[test]
fn what_is_not_said_has_a_default() {
    let playbook = parsed(PLAIN);
    assert_eq!((playbook.mode, playbook.priority), (Mode::Observe, 50));
    assert_eq!((playbook.approval.within, playbook.approval.four_eyes), (Period::minutes(15), false));
    let [step] = playbook.steps.as_slice() else { panic!() };
    assert!(step.is_auto());
    assert_eq!((step.ttl, step.then), (Some(Period::hours(4)), OnFailure::NextGateway));
    assert_eq!(playbook.written, Written { file: "a.toml".to_owned(), when_line: 4 });
    let said = playbook.wrong_when(&"no column `knd`").to_string();
    assert_eq!(said, "a.toml:4: `when` of playbook `plain`: no column `knd`");
}

#[test]
fn a_mistake_is_shown_with_a_caret_under_it() {
    let with_key = |key: &str| with("[[step]]", &format!("{key}\n[[step]]"));
    for (text, word, marked) in [
        (with("\"plain\"", "\"Plain\""), "`Plain`", "\"Plain\""),
        (with("\"plain\"", "\"9\""), "a letter first", "\"9\""),
        (with("\"A title\"", "\" \""), "title is empty", "\" \""),
        (with("\"kind = 'compromise'\"", "\"\""), "`when` is empty", "\"\""),
        (with("when =", "when_ ="), "unknown field `when_`", "when_"),
        (with_key("mode = \"yes\""), "unknown variant `yes`", "\"yes\""),
        (with_key("priority = 0"), "`0` is out of bounds", "0"),
        (with_key("priority = 300"), "300", "300"),
        (with_key("[where]\nsite = [\"north\"]"), "unknown field `site`", "site"),
        (with_key("[where]\ncriticality = [\"low\", \"grave\"]"), "`grave`", "\"grave\""),
        (with_key("[hours]\nzone = \"Mars\"\nproduction = []\napply = \"any\""), "`Mars`", "\"Mars\""),
        (with_key("[hours]\nzone = \"UTC\"\nproduction = []\napply = \"any\""), "no production hours", "[]"),
        (
            with_key("[hours]\nzone = \"UTC\"\nproduction = [\"Mon 06:00-07:00\", \"Mon 6-7\"]\napply = \"any\""),
            "`Mon 6-7`",
            "\"Mon 6-7\"",
        ),
        (with_key("[hours]\nzone = \"UTC\"\nproduction = [\"Mon 06:00-07:00\"]\napply = \"in\""), "`in`", "\"in\""),
        (with_key("[approval]\nwithin = \"15 min\""), "`15 min`", "\"15 min\""),
        (with_key("[approval]\nwithin = \"2d\""), "`2d` is out of bounds", "\"2d\""),
        (with_key("[approval]\nlevels = [\"notify\"]"), "never asked for", "[\"notify\"]"),
        (with_key("[approval]\nlevels = [\"disable\"]"), "no step comes to `disable`", "[\"disable\"]"),
        (with_key("mode = \"auto\"\n[approval]\nfour_eyes = true"), "asked for nothing", "true"),
        (with("\"quarantine\"", "\"isolate\""), "unknown variant `isolate`", "\"isolate\""),
        (with("ttl = \"4h\"", ""), "ttl = \"4h\"", "[[step]]"),
        (with("\"4h\"", "\"four hours\""), "`four hours`", "\"four hours\""),
        (with("\"4h\"", "\"31d\""), "`31d` is out of bounds", "\"31d\""),
        (with("\"quarantine\"", "\"notify\""), "`notify` happens once", "\"4h\""),
        (with("ttl =", "gateway = \"\"\nttl ="), "gateway is empty", "\"\""),
        (with("ttl =", "then = \"retry\"\nttl ="), "`retry`", "\"retry\""),
        (format!("{PLAIN}[[step]]\nlevel = \"quarantine\"\nttl = \"1h\"\n"), "comes before", "\"quarantine\""),
        (format!("{PLAIN}escalate = {{ after = 0, within = \"1d\", level = \"disable\" }}"), "`0` times", "0"),
        (
            format!("{PLAIN}escalate = {{ after = 1, within = \"1d\", level = \"throttle\" }}"),
            "`throttle` is milder",
            "\"throttle\"",
        ),
        (
            format!("{PLAIN}escalate = {{ after = 1, within = \"1d\", level = \"quarantine\" }}"),
            "for as long as before",
            "{ after = 1, within = \"1d\", level = \"quarantine\" }",
        ),
        (format!("{PLAIN}still_talking = {{ level = \"quarantine\" }}"), "what did not work", "\"quarantine\""),
        (
            format!("{}still_talking = {{ level = \"disable\" }}", with("\"quarantine\"", "\"throttle\"")),
            "may talk",
            "{ level = \"disable\" }",
        ),
    ] {
        let (error, under) = refused(&text);
        assert!(error.contains(word), "{word} is not in\n{error}");
        assert_eq!(under, marked, "{error}");
    }
}

#[test]
fn a_missing_key_is_named() {
    for key in ["id", "title", "when"] {
        let line = PLAIN.lines().find(|line| line.starts_with(key)).unwrap();
        let (error, _) = refused(&with(line, ""));
        assert!(error.contains(&format!("missing field `{key}`")), "{error}");
    }
    let (error, _) = refused("id = \"a\"\ntitle = \"a\"\nwhen = \"true\"\nstep = []\n");
    assert!(error.contains("expected 1 to 16"), "{error}");
    assert!(Playbook::parse("= 1", "a.toml").unwrap_err().to_string().starts_with("a.toml:1:1: "));
}

#[test]
fn the_version_is_that_of_the_content() {
    let plain = parsed(PLAIN);
    let same = "# for nobody\nwhen = \"\"\"\n  kind='compromise'\"\"\"   # why\npriority = 50\nmode = \"observe\"\ntitle=\"A title\"\n\
                id='plain'\nstep = [{ ttl = \"240m\", level = \"quarantine\", then = \"next-gateway\" }]\n[where]\nsites = []\n";
    let same = Playbook::parse(same, "elsewhere/b.toml").unwrap();
    assert_eq!(same.version(), plain.version());
    assert_eq!(plain.version().len(), 16);
    for (before, after) in [
        ("\"plain\"", "\"plainer\""),
        ("A title", "Another title"),
        ("'compromise'", "'anomaly'"),
        ("'compromise'", "'com promise'"),
        ("\"4h\"", "\"5h\""),
        ("quarantine", "disable"),
        ("[[step]]", "mode = \"auto\"\n[[step]]"),
        ("[[step]]", "[except]\nsites = [\"north\"]\n[[step]]"),
    ] {
        assert_ne!(parsed(&with(before, after)).version(), plain.version(), "{after}");
    }
}

#[test]
fn a_playbook_is_written_as_it_is_read() {
    let shipped = shipped().unwrap();
    for playbook in &shipped {
        let again = Playbook::parse(&playbook.to_toml().unwrap(), "again.toml").unwrap();
        assert_eq!(again, Playbook { written: again.written.clone(), ..playbook.clone() });
    }
}

fn finding(scope: Scope) -> Finding {
    Finding {
        finding_id: String::new(),
        incident_id: String::new(),
        scope,
        device_id: SmolStr::default(),
        devices: Vec::new(),
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 0.0,
        line: 0.0,
        p_value: 0.0,
        detectors: Vec::new(),
        technique: SmolStr::default(),
        emitted_at: EventTime(0),
        window_start: EventTime(0),
        window_end: EventTime(0),
        baseline_version: 0,
        reasons: Vec::new(),
        explanation: String::new(),
    }
}

fn camera() -> Device {
    let profile = Profile {
        device_type: "camera".into(),
        site: "north".into(),
        segment: "video".into(),
        owner: "facility".into(),
        purpose: "surveillance".into(),
        ..Profile::default()
    };
    let (key, standing) = (DeviceKey(0), Standing::Active);
    Device { key, id: "camera-1".into(), criticality: Criticality::High, standing, profile: Arc::new(profile) }
}

#[test]
fn where_and_except() {
    let applies = |keys: &str, device: Option<&Device>| {
        let playbook = parsed(&with("[[step]]", &format!("{keys}\n[[step]]")));
        playbook.applies(&finding(Scope::Device), device, EventTime(0))
    };
    let camera = camera();
    for (list, has, lacks) in [
        ("sites", "north", "south"),
        ("segments", "video", "lab"),
        ("types", "camera", "lock"),
        ("roles", "surveillance", "door"),
        ("owners", "facility", "it"),
        ("criticality", "high", "low"),
    ] {
        assert!(applies(&format!("[where]\n{list} = [\"{lacks}\", \"{has}\"]"), Some(&camera)), "{list}");
        assert!(!applies(&format!("[where]\n{list} = [\"{lacks}\"]"), Some(&camera)), "{list}");
        assert!(!applies(&format!("[except]\n{list} = [\"{lacks}\", \"{has}\"]"), Some(&camera)), "{list}");
        assert!(applies(&format!("[except]\n{list} = [\"{lacks}\"]"), Some(&camera)), "{list}");
        let of_group = applies(&format!("[where]\n{list} = [\"{has}\"]"), None);
        assert_eq!(of_group, list == "types", "of a group only the type is known: {list}");
    }
    assert!(applies("[where]\nsites = [\"north\"]\nowners = [\"facility\"]", Some(&camera)));
    assert!(!applies("[where]\nsites = [\"north\"]\nowners = [\"it\"]", Some(&camera)), "all lists");
    assert!(!applies("[except]\nsites = [\"north\"]\nowners = [\"it\"]", Some(&camera)), "any list");
    assert!(applies("", None));
}

#[test]
fn those_that_apply_are_asked_highest_priority_first() {
    let of = |id: &str, priority: u8, keys: &str| {
        let text = with("[[step]]", &format!("priority = {priority}\n{keys}\n[[step]]"));
        parsed(&text.replace("\"plain\"", &format!("\"{id}\"")))
    };
    let all = vec![of("c", 10, ""), of("a", 90, "[where]\nsites = [\"south\"]"), of("b", 50, ""), of("d", 60, "")];
    let playbooks = Playbooks::new(all).unwrap();
    let (finding, camera) = (finding(Scope::Device), camera());
    let applying = playbooks.iter().filter(|playbook| playbook.applies(&finding, Some(&camera), EventTime(0)));
    let asked: Vec<&str> = applying.map(|playbook| playbook.id.as_str()).collect();
    assert_eq!(asked, ["d", "b", "c"], "none whose limits do not hold");
}

#[test]
fn hours_are_asked_of_the_time_that_is_given() {
    let hours =
        "[hours]\nzone = \"Europe/Berlin\"\nproduction = [\"Mon-Fri 06:00-22:00\"]\napply = \"inside\"\n[[step]]";
    let playbook = parsed(&with("[[step]]", hours));
    let at = |text| playbook.applies(&finding(Scope::Device), None, EventTime::parse(text).unwrap());
    assert!(at("2026-11-23T05:00:00Z") && !at("2026-11-23T04:59:59Z"));
}

#[test]
fn who_is_asked_before_what() {
    let levels = "[approval]\nlevels = [\"disable\"]\n[[step]]\nlevel = \"disable\"\nttl = \"1h\"\n[[step]]\nlevel = \"notify\"\n[[step]]";
    for (mode, asked) in
        [("observe", [false, false, false]), ("approve", [true, true, false]), ("auto", [false, true, false])]
    {
        let playbook = parsed(&with("[[step]]", &format!("mode = \"{mode}\"\n{levels}")));
        let of = [Level::Quarantine, Level::Disable, Level::Notify].map(|level| playbook.needs_approval(level));
        assert_eq!(of, asked, "{mode}");
    }
}

#[test]
fn steps_escalate_when_they_repeat_and_when_they_do_not_work() {
    let text = "gateway = \"core\"\nttl = \"4h\"\n\
                escalate = { after = 2, within = \"1d\", level = \"disable\" }\nstill_talking = { level = \"rotate-credentials\" }";
    let playbook = parsed(&with("ttl = \"4h\"", text));
    let step = &playbook.steps[0];
    assert_eq!(step.after(1), *step);
    let graver = step.after(2);
    assert_eq!((graver.level, graver.ttl, graver.gateway.as_str()), (Level::Disable, Some(Period::hours(4)), "auto"));
    assert_eq!(graver.escalate, None);
    let last = step.when_still_talking().unwrap();
    assert_eq!((last.level, last.ttl, last.still_talking), (Level::RotateCredentials, None, None));
    assert_eq!(step.levels().collect::<Vec<_>>(), [Level::Quarantine, Level::Disable, Level::RotateCredentials]);
    let longer = with("ttl = \"4h\"", &text.replace("\"disable\"", "\"quarantine\", ttl = \"1d\""));
    let longer = parsed(&longer).steps[0].after(5);
    assert_eq!((longer.level, longer.ttl, longer.gateway.as_str()), (Level::Quarantine, Some(Period::days(1)), "core"));
}

#[test]
fn shipped_playbooks_touch_nothing_unasked_and_nobody_for_what_a_group_does() {
    let shipped = shipped().unwrap();
    assert!((8..=12).contains(&shipped.len()), "{}", shipped.len());
    for playbook in &shipped {
        assert_eq!(playbook.mode, Mode::Observe, "{}", playbook.id);
        assert_eq!(playbook.written.file, format!("playbooks/{}.toml", playbook.id));
        if playbook.restricts() {
            let parts = warnings::conjuncts(&playbook.when);
            for asked in ["kind = 'compromise'", "scope = 'device'", "confidence <> 'learning'"] {
                assert!(parts.iter().any(|part| part == asked), "{} lacks {asked}: {parts:?}", playbook.id);
            }
        }
    }
    assert_eq!(shipped.warnings(), []);
    // Switched on they are as careful: what cannot be taken back, or has to be by a person, is asked for.
    let all = shipped.iter().map(|playbook| Playbook { mode: Mode::Auto, ..playbook.clone() });
    assert_eq!(Playbooks::new(all.collect()).unwrap().warnings(), []);
}

#[test]
fn shipped_playbooks_name_columns_that_are_there() {
    let known: BTreeSet<&str> = columns::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(known.len(), columns::COLUMNS.len());
    for playbook in &shipped().unwrap() {
        let unquoted: String = playbook.when.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
        for word in
            unquoted.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).filter(|word| !word.is_empty())
        {
            let is_sql = ["and", "or", "like", "in"].contains(&word) || word.bytes().all(|it| it.is_ascii_digit());
            assert!(is_sql || known.contains(word), "{}: `{word}`", playbook.id);
        }
    }
}

#[test]
fn every_file_is_shipped_says_whom_it_is_for_and_is_in_the_documentation() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../playbooks");
    let files: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| format!("playbooks/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    assert_eq!(files, shipped::FILES.iter().map(|(file, _)| (*file).to_owned()).collect());
    for (file, text) in shipped::FILES {
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with("# ")).collect();
        let comment = comment.join(" ");
        assert!(comment.starts_with("# For ") && comment.contains("Costs: "), "{file}");
    }
    let loaded = load_folder(&folder, |_| Ok(())).unwrap();
    let shipped = shipped().unwrap();
    assert_eq!(loaded.version(), shipped.version());
    let rows: Vec<String> =
        shipped.iter().map(|it| format!("| `{}` | {} | {} |", it.id, it.priority, it.title)).collect();
    let page = include_str!("../../../docs/playbooks.md");
    let table = page.split_once("| playbook | priority | for |\n| --- | --- | --- |\n").unwrap().1;
    let listed: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(listed, rows, "the table of docs/playbooks.md is to be\n{}", rows.join("\n"));
}

#[test]
fn the_documentation_shows_a_playbook_that_is_one() {
    let page = include_str!("../../../docs/playbooks.md");
    let example = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let shipped = shipped().unwrap();
    assert_eq!(parsed(example).version(), shipped.iter().find(|it| it.id == "worm").unwrap().version());
    for level in Level::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{level}` | "))).unwrap();
        assert_eq!(row.ends_with("| yes |"), step::lasts(*level), "{row}");
    }
}

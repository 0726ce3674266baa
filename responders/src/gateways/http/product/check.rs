//! Everything a product file can have wrong that can be told without asking the product.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::gateways::http::product::{Method, Product, ProductAbility, Step};
use crate::gateways::http::template::{Place, Templates, Text};

/// What is wrong, and which bytes of the file it is about.
pub struct Wrong {
    problem: String,
    span: Option<Range<usize>>,
}

impl Wrong {
    fn new(problem: impl Into<String>) -> Wrong {
        Wrong { problem: problem.into(), span: None }
    }

    fn at(text: &Text, problem: impl Into<String>) -> Wrong {
        Wrong { problem: problem.into(), span: Some(text.0.span()) }
    }

    /// As the toml crate shows its own errors: line, column, and a caret under it.
    pub fn shown(self, file: &str, source: &str) -> String {
        let Some(span) = self.span else { return format!("`{file}`: {}", self.problem) };
        let before = source.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let shown = source.lines().nth(line - 1).unwrap_or_default();
        let (margin, indent) = (" ".repeat(line.to_string().len()), " ".repeat(column - 1));
        let problem = self.problem;
        format!("`{file}`: line {line}, column {column}\n{margin} |\n{line} | {shown}\n{margin} | {indent}^\n{problem}")
    }
}

/// Names that stand in templates and expressions, the whole (`setting.site`) or all below (`answer.*`).
#[derive(Clone)]
struct Known {
    names: BTreeSet<String>,
}

impl Known {
    fn with<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Known {
        let mut known = self.clone();
        known.names.extend(names.into_iter().map(str::to_owned));
        known
    }

    fn holds(&self, name: &str) -> bool {
        let parents = name.match_indices('.').map(|(at, _)| format!("{}.*", &name[..at]));
        self.names.contains(name) || parents.into_iter().any(|parent| self.names.contains(&parent))
    }

    fn check(&self, text: &Text, used: Result<BTreeSet<String>, String>) -> Result<(), Wrong> {
        let used = used.map_err(|problem| Wrong::at(text, problem))?;
        let Some(unknown) = used.iter().find(|name| !self.holds(name)) else { return Ok(()) };
        let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let problem = format!("`{unknown}` is not known here, expected one of {}", known.join(", "));
        Err(Wrong::at(text, problem))
    }
}

pub fn check(product: &Product) -> Result<(), Wrong> {
    let checker = Checker { templates: Templates::default() };
    let settings = product.settings.keys().map(|name| format!("setting.{name}"));
    let functions = ["dict", "near", "range", "now", "host"].into_iter().map(str::to_owned);
    let known = Known { names: settings.chain(functions).collect() };
    if !(product.requests_per_second > 0.0 && product.requests_per_second <= 1000.0) {
        let value = product.requests_per_second;
        return Err(Wrong::new(format!("requests_per_second is `{value}`, expected more than 0 and at most 1000")));
    }
    for (field, text) in [("checked", &product.checked), ("needs", &product.needs), ("vendor", &product.vendor)] {
        if text.trim().is_empty() {
            return Err(Wrong::new(format!("`{field}` is empty, expected a sentence")));
        }
    }
    if product.abilities.is_empty() {
        return Err(Wrong::new("no `[[abilities]]`, expected at least one"));
    }
    let secrets: Vec<String> = product.secrets.keys().map(|name| format!("secret.{name}")).collect();
    let mut sent = known.with(secrets.iter().map(String::as_str));
    let mut session = Vec::new();
    for step in &product.sign_in.login {
        session.extend(step.keep.keys().map(|name| format!("session.{name}")));
    }
    checker.steps(&product.sign_in.login, &known, &sent, false)?;
    sent = sent.with(session.iter().map(String::as_str));
    for text in product.sign_in.headers.values() {
        sent.check(text, checker.templates.names_of_template(Place::Header, text))?;
    }
    for text in product.sign_in.expired.iter().chain(&product.message) {
        let known = known.with(["answer.*"]);
        known.check(text, checker.templates.names_of_expression(text))?;
    }
    checker.steps(&product.probe, &known, &sent, true)?;
    if product.probe.is_empty() {
        return Err(Wrong::new("no `[[probe]]`, expected a step that shows whether it answers and lets us in"));
    }
    let mut levels = BTreeSet::new();
    for ability in &product.abilities {
        if !levels.insert(ability.level) {
            return Err(Wrong::new(format!("level `{}` is there twice", ability.level.name())));
        }
        checker.ability(ability, &known, &sent)?;
    }
    Ok(())
}

struct Checker {
    templates: Templates,
}

impl Checker {
    fn ability(&self, ability: &ProductAbility, known: &Known, sent: &Known) -> Result<(), Wrong> {
        let level = ability.level.name();
        if ability.keys.is_empty() || ability.look.is_empty() || ability.apply.is_empty() {
            return Err(Wrong::new(format!("`{level}` needs at least one of each: keys, look, apply")));
        }
        if ability.can_be_undone == ability.undo.is_empty() {
            let problem = "says `can_be_undone`, expected steps to undo it if so, and none if not";
            return Err(Wrong::new(format!("`{level}` {problem}")));
        }
        let mut names: Vec<&str> = ability.keys.iter().map(|key| key.name()).collect();
        names.extend(["order.action_id", "order.incident_id", "order.device_id", "order.level", "order.note"]);
        names.extend(["call", "mark", "until", "seconds_left", "receipt", "receipt.*"]);
        let (known, sent) = (known.with(names.iter().copied()), sent.with(names.iter().copied()));
        let kept = self.steps(&ability.look, &known, &sent, true)?;
        let (known, sent) = (known.with(kept.iter().map(String::as_str)), sent.with(kept.iter().map(String::as_str)));
        known.check(&ability.found, self.templates.names_of_expression(&ability.found))?;
        let (known, sent) = (known.with(["found"]), sent.with(["found"]));
        let kept = self.steps(&ability.apply, &known, &sent, false)?;
        if let Some(receipt) = &ability.receipt {
            let known = known.with(kept.iter().map(String::as_str));
            known.check(receipt, self.templates.names_of_expression(receipt))?;
        }
        self.steps(&ability.undo, &known, &sent, false)?;
        Ok(())
    }

    /// `known` in expressions, `sent` in templates; gives what the steps keep.
    fn steps(&self, steps: &[Step], known: &Known, sent: &Known, reading: bool) -> Result<Vec<String>, Wrong> {
        let (mut known, mut sent, mut all) = (known.clone(), sent.clone(), Vec::new());
        for step in steps {
            if reading && !step.is_reading() {
                let problem = "changes something where nothing may be changed; if it does not, say `reads = true`";
                return Err(Wrong::at(&step.path, format!("`{}` {problem}", step.name)));
            }
            self.step(step, &known, &sent)?;
            let kept: Vec<String> =
                step.keep.keys().flat_map(|name| [format!("kept.{name}"), format!("kept.{name}.*")]).collect();
            known = known.with(kept.iter().map(String::as_str));
            sent = sent.with(kept.iter().map(String::as_str));
            all.extend(kept);
        }
        Ok(all)
    }

    fn step(&self, step: &Step, known: &Known, sent: &Known) -> Result<(), Wrong> {
        let (mut known, mut sent) = (known.clone(), sent.clone());
        for text in step.when.iter().chain(&step.each) {
            known.check(text, self.templates.names_of_expression(text))?;
        }
        if step.each.is_some() {
            (known, sent) = (known.with(["item", "item.*"]), sent.with(["item", "item.*"]));
        }
        let path = step.path.source();
        if !path.starts_with(['/', '{']) || path.starts_with("//") || path.contains("..") || path.contains('#') {
            let problem = "expected a path that begins with one `/`, without `..` and `#`";
            return Err(Wrong::at(&step.path, format!("`{path}`: {problem}")));
        }
        sent.check(&step.path, self.templates.names_of_template(Place::Path, &step.path))?;
        for text in step.headers.values() {
            sent.check(text, self.templates.names_of_template(Place::Header, text))?;
        }
        if let Some(text) = &step.body {
            sent.check(text, self.templates.names_of_template(Place::Json, text))?;
        }
        if let Some(text) = &step.form {
            sent.check(text, self.templates.names_of_template(Place::Form, text))?;
        }
        if step.body.is_some() && step.form.is_some() {
            return Err(Wrong::at(&step.path, format!("`{}` has a body and a form, expected one", step.name)));
        }
        if step.method == Method::Get && (step.body.is_some() || step.form.is_some()) {
            return Err(Wrong::at(&step.path, format!("`{}` is a GET with a body", step.name)));
        }
        if step.until.is_some() && !step.is_reading() {
            let problem = "is asked again and again, and so must not change anything; poll in a step of its own";
            return Err(Wrong::at(&step.path, format!("`{}` {problem}", step.name)));
        }
        let known = known.with(["answer.*"]);
        let conditions = [&step.expect, &step.already, &step.busy, &step.conflict, &step.until];
        for text in conditions.into_iter().flatten().chain(step.keep.values()) {
            known.check(text, self.templates.names_of_expression(text))?;
        }
        Ok(())
    }
}

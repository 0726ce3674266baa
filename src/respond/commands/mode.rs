//! `vedette mode`: how much is done without being asked, and the stop, through the API.

use clap::{Args, Subcommand};
use datasets::scorecard::text::Table;
use fleet::Mode;
use responders::api::views::ModeView;

use super::connection::{ApiArgs, outcome, show};

#[derive(Subcommand)]
pub enum ModeCommand {
    /// The mode of everything, of gateways and of playbooks; of those that apply the least holds.
    Show(ShowArgs),
    /// Say what would be done, and touch nothing.
    Observe(SetArgs),
    /// Ask before anything is done; no answer means no.
    Approve(SetArgs),
    /// Act, within the guard-rails.
    Auto(SetArgs),
    /// Stop everything at once: nothing is applied any more, whatever the modes say, until `resume`.
    Stop(NoteArgs),
    /// Let things go on after a stop.
    Resume(NoteArgs),
}

#[derive(Args, Clone)]
pub struct ShowArgs {
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Args, Clone)]
pub struct SetArgs {
    /// Only of this gateway [default: of everything]
    #[arg(long, value_name = "NAME", conflicts_with = "playbook")]
    pub gateway: Option<String>,
    /// Only of this playbook [default: of everything]
    #[arg(long, value_name = "ID")]
    pub playbook: Option<String>,
    #[command(flatten)]
    pub note: NoteArgs,
}

#[derive(Args, Clone)]
pub struct NoteArgs {
    /// Why, for the journal; no secrets
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

pub fn run(command: &ModeCommand) -> anyhow::Result<()> {
    match command {
        ModeCommand::Show(args) => show(args.api.client()?.mode(), args.api.rights.json, page),
        ModeCommand::Observe(args) => set(args, Mode::Observe),
        ModeCommand::Approve(args) => set(args, Mode::Approve),
        ModeCommand::Auto(args) => set(args, Mode::Auto),
        ModeCommand::Stop(args) => {
            let answer = args.api.client()?.stop(&args.note);
            show(answer, args.api.rights.json, |answer| outcome("stop", answer))
        }
        ModeCommand::Resume(args) => {
            let answer = args.api.client()?.resume(&args.note);
            show(answer, args.api.rights.json, |answer| outcome("resume", answer))
        }
    }
}

fn set(args: &SetArgs, mode: Mode) -> anyhow::Result<()> {
    let NoteArgs { note, api } = &args.note;
    let answer = api.client()?.set_mode(mode, args.gateway.as_deref(), args.playbook.as_deref(), note);
    let of = match (&args.gateway, &args.playbook) {
        (Some(gateway), _) => format!("{mode} for the gateway {gateway}"),
        (None, Some(playbook)) => format!("{mode} for the playbook {playbook}"),
        (None, None) => format!("{mode} for everything"),
    };
    show(answer, api.rights.json, |answer| outcome(&of, answer))
}

fn page(view: &ModeView) -> String {
    let mut table = Table::new(&["of", "name", "mode"]);
    table.row(["everything", "", view.global.name()]);
    for (name, mode) in &view.gateways {
        table.row(["gateway", name, mode.name()]);
    }
    for (name, mode) in &view.playbooks {
        table.row(["playbook", name, mode.name()]);
    }
    let mut out = table.render();
    if view.stopped {
        let by = view.stopped_by.as_deref().unwrap_or("nobody said who");
        out +=
            &format!("\nSTOPPED: nothing is applied, whatever the modes say ({by}); `vedette mode resume` ends it\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_told_beside_the_modes() {
        let mut view = ModeView { global: Mode::Auto, ..ModeView::default() };
        view.gateways.insert("edge".into(), Mode::Approve);
        view.playbooks.insert("compromise".into(), Mode::Observe);
        let text = page(&view);
        assert!(text.lines().nth(2).unwrap().contains("edge") && !text.contains("STOPPED"), "{text}");
        view.stopped = true;
        view.stopped_by = Some("anna: a storm".into());
        assert!(page(&view).contains("STOPPED") && page(&view).contains("anna: a storm"));
    }
}

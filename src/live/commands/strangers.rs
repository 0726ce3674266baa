//! Names in the configuration and the playbooks that are nobody's in the inventory, and gateways there that are not
//! configured: a slip of the pen protects nobody, and restricts nobody.

use fleet::Device;
use ingest::Inventory;
use responders::playbook::{Playbook, Playbooks, Selection, shipped};
use rustc_hash::FxHashSet;
use smol_str::SmolStr;

use crate::config::Config;

/// Names that a line tells; of more it tells how many.
const NAMED: usize = 5;
const SPELLING: &str = "are they spelt as in the inventory?";

pub struct Strangers {
    pub what: String,
    pub remedy: &'static str,
}

/// By what a device is called: its columns in the inventory.
type Known<'i> = FxHashSet<&'i str>;

type Table = fn(&Playbook) -> &Selection;

/// One for each list. `own`: the playbooks of the installation's folder. A list that stands there as it is shipped is let pass:
/// it speaks of devices that not everybody has.
pub fn strangers(config: &Config, inventory: &Inventory, own: Option<&Playbooks>) -> Vec<Strangers> {
    let known = |named: fn(&Device) -> &SmolStr| -> Known<'_> {
        inventory.devices().iter().map(|device| named(device).as_str()).collect()
    };
    let [devices, sites, segments, types, roles, owners] = [
        known(|device| &device.id),
        known(|device| &device.site),
        known(|device| &device.segment),
        known(|device| &device.device_type),
        known(|device| &device.purpose),
        known(|device| &device.owner),
    ];
    let mut strangers = Vec::new();
    let mut look = |place: String, names: &[SmolStr], known: &Known<'_>, so: &str| {
        let unknown: Vec<&str> = names.iter().map(SmolStr::as_str).filter(|name| !is_known(name, known)).collect();
        if !unknown.is_empty() {
            let what = format!("{place} names what is nobody's in the inventory: {}; {so}", listed(&unknown));
            strangers.push(Strangers { what, remedy: SPELLING });
        }
    };
    let never = &config.responders.never;
    for (list, names, known) in [
        ("devices", &never.devices, &devices),
        ("types", &never.types, &types),
        ("sites", &never.sites, &sites),
        ("segments", &never.segments, &segments),
    ] {
        look(format!("[responders.never] {list}"), names, known, "that protects nobody");
    }
    for (name, gateway) in &config.gateways {
        look(format!("[gateways.{name}] sites"), &gateway.sites, &sites, "it stands for nobody there");
    }
    let shipped = shipped().ok();
    for playbook in own.into_iter().flatten() {
        let before = shipped.iter().flatten().find(|shipped| shipped.id == playbook.id);
        for (table, of, so) in [
            ("where", (|playbook| &playbook.only) as Table, "it applies to none of these"),
            ("except", |playbook| &playbook.except, "it excepts none of these"),
        ] {
            let (now, before) = (lists(of(playbook)), before.map(|before| lists(of(before))));
            for (number, known) in [&sites, &segments, &types, &roles, &owners].into_iter().enumerate() {
                let (list, names) = now[number];
                if before.is_none_or(|before| before[number].1 != names) {
                    look(format!("[{table}] {list} of playbook `{}`", playbook.id), names, known, so);
                }
            }
        }
    }
    let unknown: Vec<&str> =
        inventory.gateways().into_iter().filter(|name| !config.gateways.contains_key(*name)).collect();
    if !unknown.is_empty() && !config.gateways.is_empty() {
        let unknown = listed(&unknown);
        strangers.push(Strangers {
            what: format!(
                "the inventory names gateways that are not configured: {unknown}; nobody is restricted there"
            ),
            remedy: "configure them under [gateways], or correct the column `gateway` of the inventory",
        });
    }
    strangers
}

fn lists(of: &Selection) -> [(&'static str, &[SmolStr]); 5] {
    [
        ("sites", &of.sites),
        ("segments", &of.segments),
        ("types", &of.types),
        ("roles", &of.roles),
        ("owners", &of.owners),
    ]
}

/// Devices that are in no inventory are called `unknown:...`, and nothing else is known of them.
fn is_known(name: &str, known: &Known<'_>) -> bool {
    name.is_empty() || name.starts_with("unknown:") || known.contains(name)
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        others => format!("{} and {others} others", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use responders::playbook::load_folder;

    use super::*;

    fn told(config: &str, inventory: &str, playbook: &str) -> Vec<String> {
        let inventory = Inventory::from_csv(inventory.as_bytes(), "inventory.csv").unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.toml"), playbook).unwrap();
        let own = load_folder(folder.path(), |_| Ok(())).unwrap();
        let config = Config::parse(config, Path::new("vedette.toml")).unwrap();
        strangers(&config, &inventory, Some(&own)).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn names_that_are_nobodys_are_told_and_no_others() {
        let inventory = "device_id,device_type,site,purpose,gateway\n\
                         lamp-1,lamp,north,light,edge core\nlamp-2,lamp,north,light,\n";
        let playbook = "id = \"p\"\ntitle = \"t\"\nwhen = \"true\"\n\
                        [where]\nroles = [\"light\", \"lightning\"]\nsites = [\"\"]\n\
                        [except]\ntypes = [\"lamp\", \"lmap\"]\n[[step]]\nlevel = \"notify\"\n";
        let never = "[responders.never]\ndevices = [\"lamp-1\", \"lamp-3\", \"unknown:02:00:00:00:00:01\"]\n\
                     segments = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\"]\n";
        let edge = "[gateways.edge]\nkind = \"nftables\"\nsites = [\"north\", \"south\"]\n";
        let nobodys = "names what is nobody's in the inventory:";
        let expected = [
            format!("[responders.never] devices {nobodys} `lamp-3`; that protects nobody"),
            format!("[responders.never] segments {nobodys} `a`, `b`, `c`, `d`, `e` and 2 others; that protects nobody"),
            format!("[gateways.edge] sites {nobodys} `south`; it stands for nobody there"),
            format!("[where] roles of playbook `p` {nobodys} `lightning`; it applies to none of these"),
            format!("[except] types of playbook `p` {nobodys} `lmap`; it excepts none of these"),
            "the inventory names gateways that are not configured: `core`; nobody is restricted there".to_owned(),
        ];
        assert_eq!(told(&format!("{never}{edge}"), inventory, playbook), expected);
        assert_eq!(told(never, inventory, &playbook.replace("lightning", "light")).len(), 3, "without any gateway");
    }

    #[test]
    fn what_is_taken_over_as_it_is_shipped_is_let_pass() {
        let all = shipped().unwrap();
        let worm = all.iter().find(|playbook| playbook.id == "worm").unwrap();
        let name = worm.except.roles[0].clone();
        let text = toml::to_string(worm).unwrap();
        let inventory = "device_id,device_type\nlamp-1,lamp\n";
        assert!(told("", inventory, &text).is_empty());
        let other = format!("{name}s");
        assert!(told("", inventory, &text.replace(name.as_str(), &other))[0].contains(&other));
    }
}

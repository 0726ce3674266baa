//! Names in the configuration and the playbooks that are nobody's in the inventory, and gateways there that are not
//! configured: a slip of the pen protects nobody, and restricts nobody.

use fleet::Device;
use ingest::Inventory;
use responders::playbook::{Playbooks, Selection};
use smol_str::SmolStr;

use crate::config::Config;

/// What a device is called by.
type Named = fn(&Device) -> &SmolStr;

const SITES: Named = |device| &device.site;
const SEGMENTS: Named = |device| &device.segment;
const TYPES: Named = |device| &device.device_type;

/// In words, one of each. `own`: the playbooks of the installation's folder; shipped ones speak of devices that not everybody
/// has.
pub fn strangers(config: &Config, inventory: &Inventory, own: Option<&Playbooks>) -> Vec<String> {
    let has = |of: Named, name: &SmolStr| inventory.devices().iter().any(|device| of(device) == name);
    let look = |place: &str, names: &[SmolStr], of: Named, so: &str| {
        let unknown = names.iter().filter(|name| !has(of, name));
        unknown.map(|name| format!("`{name}` under {place} is nobody's in the inventory: {so}")).collect::<Vec<_>>()
    };
    let mut words = Vec::new();
    let never = &config.responders.never;
    for (list, names, of) in [
        ("devices", &never.devices, (|device| &device.id) as Named),
        ("types", &never.types, TYPES),
        ("sites", &never.sites, SITES),
        ("segments", &never.segments, SEGMENTS),
    ] {
        words.extend(look(&format!("[responders.never] {list}"), names, of, "it protects nobody"));
    }
    for (name, gateway) in &config.gateways {
        let place = format!("[gateways.{name}] sites");
        words.extend(look(&place, &gateway.sites, SITES, "the gateway stands for nobody there"));
    }
    for playbook in own.into_iter().flatten() {
        for (list, names, of) in lists(&playbook.except) {
            let place = format!("[except] {list} of playbook `{}`", playbook.id);
            words.extend(look(&place, names, of, "it excepts nobody"));
        }
        // One of several names for the same is enough.
        let of_nobody =
            |(_, names, of): &(_, &[SmolStr], Named)| !names.is_empty() && !names.iter().any(|name| has(*of, name));
        for (list, names, _) in lists(&playbook.only).into_iter().filter(of_nobody) {
            words.push(format!(
                "[where] {list} of playbook `{}` has nobody of the inventory ({}): it applies to nobody",
                playbook.id,
                names.join(", ")
            ));
        }
    }
    let of_inventory = inventory.gateways();
    let unknown =
        of_inventory.iter().filter(|name| !config.gateways.is_empty() && !config.gateways.contains_key(**name));
    words.extend(unknown.map(|name| {
        format!("the inventory names the gateway `{name}`, which is not configured: nobody is restricted there")
    }));
    words
}

fn lists(of: &Selection) -> [(&'static str, &[SmolStr], Named); 5] {
    [
        ("sites", &of.sites, SITES),
        ("segments", &of.segments, SEGMENTS),
        ("types", &of.types, TYPES),
        ("roles", &of.roles, |device| &device.purpose),
        ("owners", &of.owners, |device| &device.owner),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use responders::playbook::load_folder;

    use super::*;

    #[test]
    fn names_that_are_nobodys_are_told_and_no_others() {
        let inventory =
            "device_id,device_type,site,purpose,gateway\nlamp-1,lamp,north,light,edge core\nlamp-2,lamp,north,light,\n";
        let inventory = Inventory::from_csv(inventory.as_bytes(), "inventory.csv").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let playbook = "id = \"p\"\ntitle = \"t\"\nwhen = \"true\"\n[where]\nroles = [\"light\", \"lightning\"]\nsites = [\"nort\"]\n\
                        [except]\ntypes = [\"lamp\", \"lmap\"]\n[[step]]\nlevel = \"notify\"\n";
        std::fs::write(folder.path().join("p.toml"), playbook).unwrap();
        let own = load_folder(folder.path(), |_| Ok(())).unwrap();
        let config = |gateways: &str| {
            let never = "[responders.never]\ndevices = [\"lamp-1\", \"lamp-3\"]\nsegments = [\"yard\"]\n";
            Config::parse(&format!("{never}{gateways}"), Path::new("vedette.toml")).unwrap()
        };
        let edge = "[gateways.edge]\nkind = \"nftables\"\nsites = [\"north\", \"south\"]\n";
        let told = strangers(&config(edge), &inventory, Some(&own));
        let expected = [
            "`lamp-3` under [responders.never] devices is nobody's in the inventory: it protects nobody",
            "`yard` under [responders.never] segments is nobody's in the inventory: it protects nobody",
            "`south` under [gateways.edge] sites is nobody's in the inventory: the gateway stands for nobody there",
            "`lmap` under [except] types of playbook `p` is nobody's in the inventory: it excepts nobody",
            "[where] sites of playbook `p` has nobody of the inventory (nort): it applies to nobody",
            "the inventory names the gateway `core`, which is not configured: nobody is restricted there",
        ];
        assert_eq!(told, expected);
        assert_eq!(strangers(&config(""), &inventory, None), expected[..2], "without gateways nobody is restricted");
    }
}

//! MITRE ATT&CK: names and tactics of the techniques that detectors name. Enterprise v17; techniques `T0...` and tactics
//! `TA01..` are of its ICS matrix. Where a technique serves several tactics, the one that fits a device on a network.

use serde_json::{Value, json};

const MATRIX: &str = "17.0";

/// Technique, its name, its tactic and that one's name.
const TECHNIQUES: &[(&str, &str, &str, &str)] = &[
    ("T0812", "Default Credentials", "TA0109", "Lateral Movement"),
    ("T0814", "Denial of Service", "TA0107", "Inhibit Response Function"),
    ("T0826", "Loss of Availability", "TA0105", "Impact"),
    ("T0829", "Loss of View", "TA0105", "Impact"),
    ("T0836", "Modify Parameter", "TA0106", "Impair Process Control"),
    ("T0855", "Unauthorized Command Message", "TA0106", "Impair Process Control"),
    ("T0856", "Spoof Reporting Message", "TA0103", "Evasion"),
    ("T0857", "System Firmware", "TA0110", "Persistence"),
    ("T0859", "Valid Accounts", "TA0109", "Lateral Movement"),
    ("T0861", "Point & Tag Identification", "TA0100", "Collection"),
    ("T0867", "Lateral Tool Transfer", "TA0109", "Lateral Movement"),
    ("T0883", "Internet Accessible Device", "TA0108", "Initial Access"),
    ("T0886", "Remote Services", "TA0109", "Lateral Movement"),
    ("T1008", "Fallback Channels", "TA0011", "Command and Control"),
    ("T1021", "Remote Services", "TA0008", "Lateral Movement"),
    ("T1029", "Scheduled Transfer", "TA0010", "Exfiltration"),
    ("T1030", "Data Transfer Size Limits", "TA0010", "Exfiltration"),
    ("T1040", "Network Sniffing", "TA0006", "Credential Access"),
    ("T1041", "Exfiltration Over C2 Channel", "TA0010", "Exfiltration"),
    ("T1046", "Network Service Discovery", "TA0007", "Discovery"),
    ("T1048", "Exfiltration Over Alternative Protocol", "TA0010", "Exfiltration"),
    ("T1048.003", "Exfiltration Over Unencrypted Non-C2 Protocol", "TA0010", "Exfiltration"),
    ("T1071", "Application Layer Protocol", "TA0011", "Command and Control"),
    ("T1071.001", "Web Protocols", "TA0011", "Command and Control"),
    ("T1071.004", "DNS", "TA0011", "Command and Control"),
    ("T1071.005", "Publish/Subscribe Protocols", "TA0011", "Command and Control"),
    ("T1078", "Valid Accounts", "TA0001", "Initial Access"),
    ("T1090", "Proxy", "TA0011", "Command and Control"),
    ("T1090.003", "Multi-hop Proxy", "TA0011", "Command and Control"),
    ("T1105", "Ingress Tool Transfer", "TA0011", "Command and Control"),
    ("T1110", "Brute Force", "TA0006", "Credential Access"),
    ("T1110.001", "Password Guessing", "TA0006", "Credential Access"),
    ("T1133", "External Remote Services", "TA0001", "Initial Access"),
    ("T1200", "Hardware Additions", "TA0001", "Initial Access"),
    ("T1498", "Network Denial of Service", "TA0040", "Impact"),
    ("T1498.001", "Direct Network Flood", "TA0040", "Impact"),
    ("T1542", "Pre-OS Boot", "TA0003", "Persistence"),
    ("T1542.001", "System Firmware", "TA0003", "Persistence"),
    ("T1550", "Use Alternate Authentication Material", "TA0008", "Lateral Movement"),
    ("T1571", "Non-Standard Port", "TA0011", "Command and Control"),
];

fn find(id: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let found = TECHNIQUES.iter().find(|(technique, ..)| *technique == id);
    found.map(|(_, name, tactic, tactic_name)| (*name, *tactic, *tactic_name))
}

/// OCSF's `attack` object; of a technique that is not in the table the id alone. `None` for no technique.
pub fn attack(id: &str) -> Option<Value> {
    if id.is_empty() {
        return None;
    }
    let entity = |id: &str| match find(id) {
        Some((name, ..)) => json!({ "uid": id, "name": name }),
        None => json!({ "uid": id }),
    };
    let mut attack = json!({ "version": MATRIX });
    let technique = id.split('.').next().unwrap_or(id);
    attack["technique"] = entity(technique);
    if technique != id {
        attack["sub_technique"] = entity(id);
    }
    if let Some((_, tactic, tactic_name)) = find(id) {
        attack["tactic"] = json!({ "uid": tactic, "name": tactic_name });
    }
    Some(attack)
}

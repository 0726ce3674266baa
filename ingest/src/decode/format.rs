//! The formats there are, by the names that settings give them.

use serde::{Deserialize, Serialize};

/// What the lines of a file, or the messages of a topic, are; `docs/records.md` describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[serde(rename = "native-json")]
    Native,
    ZeekConnJson,
    ZeekConnTsv,
    ZeekConnCsv,
    ZeekKafkaJson,
    #[serde(rename = "goflow2-json")]
    Goflow2Json,
    SuricataEveJson,
    VpcFlowLog,
    EmqxJson,
    MosquittoBridgeJson,
    DefenderJson,
}

impl Format {
    pub const ALL: [Format; 11] = [
        Format::Native,
        Format::ZeekConnJson,
        Format::ZeekConnTsv,
        Format::ZeekConnCsv,
        Format::ZeekKafkaJson,
        Format::Goflow2Json,
        Format::SuricataEveJson,
        Format::VpcFlowLog,
        Format::EmqxJson,
        Format::MosquittoBridgeJson,
        Format::DefenderJson,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::Native => "native-json",
            Format::ZeekConnJson => "zeek-conn-json",
            Format::ZeekConnTsv => "zeek-conn-tsv",
            Format::ZeekConnCsv => "zeek-conn-csv",
            Format::ZeekKafkaJson => "zeek-kafka-json",
            Format::Goflow2Json => "goflow2-json",
            Format::SuricataEveJson => "suricata-eve-json",
            Format::VpcFlowLog => "vpc-flow-log",
            Format::EmqxJson => "emqx-json",
            Format::MosquittoBridgeJson => "mosquitto-bridge-json",
            Format::DefenderJson => "defender-json",
        }
    }
}

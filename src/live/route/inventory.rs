//! The inventory's file, looked at while running.

use std::path::PathBuf;

use anyhow::Context;
use ingest::Inventory;

use crate::config::Config;

/// The inventory's file, as it was when it was read.
pub struct InventoryFile {
    path: Option<PathBuf>,
    pub text: Vec<u8>,
    /// What was last found there, usable or not.
    pub looked_at: Vec<u8>,
}

impl InventoryFile {
    pub fn read(config: &Config) -> anyhow::Result<InventoryFile> {
        let path = config.source.inventory.clone();
        let text = match &path {
            Some(path) => std::fs::read(path).with_context(|| {
                format!("the inventory `{}` cannot be read; check [source] inventory", path.display())
            })?,
            None => Vec::new(),
        };
        Ok(InventoryFile { path, looked_at: text.clone(), text })
    }

    pub fn parse(&self) -> Result<Inventory, ingest::Error> {
        match &self.path {
            Some(path) => Inventory::from_csv(self.text.as_slice(), &path.display().to_string()),
            None => Ok(Inventory::empty()),
        }
    }

    /// 16 hexadecimal digits of its content.
    pub fn version(&self) -> String {
        fleet::id::stable_id(&[&String::from_utf8_lossy(&self.text)])
    }

    pub fn changed(&self) -> Option<InventoryFile> {
        let path = self.path.as_ref()?;
        let text = std::fs::read(path).ok()?;
        (text != self.looked_at).then(|| InventoryFile { path: self.path.clone(), looked_at: text.clone(), text })
    }
}

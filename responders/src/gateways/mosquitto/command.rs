//! Commands of the dynamic security plug-in, and what it answers: an error is a text in the answer, never a failed publish.

use serde_json::{Value, json};

use crate::gateways::Failure;

/// Words of Mosquitto 2.0, the same since 2.0.0.
pub const CLIENT_NOT_FOUND: &str = "Client not found";
pub const ROLE_EXISTS: &str = "Role already exists";
pub const ROLE_NOT_FOUND: &str = "Role not found";

/// Begins the names of roles that are marks of ours.
const OURS: &str = "vedette:";

/// To one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub command: String,
    pub data: Value,
    pub error: Option<String>,
}

impl Answer {
    /// From an entry of `responses`.
    pub fn read(entry: &Value) -> Answer {
        Answer {
            command: entry["command"].as_str().unwrap_or_default().to_owned(),
            data: entry["data"].clone(),
            error: entry.get("error").map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
        }
    }
}

/// # Errors
/// What the broker said, unless it is one of `also`.
pub fn done(answer: &Answer, also: &[&str]) -> Result<(), Failure> {
    match &answer.error {
        None => Ok(()),
        Some(error) if also.contains(&error.as_str()) => Ok(()),
        // Out of memory, or its file cannot be written: the broker's trouble, which may pass.
        Some(error) if error == "Internal error" => Err(Failure::unreachable(told(answer, error))),
        Some(error) => Err(Failure::refused(told(answer, error))),
    }
}

fn told(answer: &Answer, error: &str) -> String {
    format!("the broker answers `{}` with `{}`", answer.command, error.chars().take(200).collect::<String>())
}

/// A client as the plug-in knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub disabled: bool,
    pub roles: Vec<String>,
}

impl Account {
    pub fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|has| has == role)
    }

    /// Of all our actions.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(String::as_str).filter(|role| role.starts_with(OURS))
    }
}

/// From the answer to [`get_client`]; `None`: there is no such client.
///
/// # Errors
/// Any other error, and an answer without a client.
pub fn account(answer: &Answer) -> Result<Option<Account>, Failure> {
    if answer.error.as_deref() == Some(CLIENT_NOT_FOUND) {
        return Ok(None);
    }
    done(answer, &[])?;
    let client = &answer.data["client"];
    if !client.is_object() {
        return Err(Failure::refused("the broker answers `getClient` without a client; is it Mosquitto 2?"));
    }
    let roles = client["roles"].as_array().into_iter().flatten();
    Ok(Some(Account {
        // Left out when it is false.
        disabled: client["disabled"].as_bool().unwrap_or(false),
        roles: roles.filter_map(|role| role["rolename"].as_str()).map(str::to_owned).collect(),
    }))
}

pub fn get_client(username: &str) -> Value {
    json!({ "command": "getClient", "username": username })
}

pub fn disable(username: &str) -> Value {
    json!({ "command": "disableClient", "username": username })
}

pub fn enable(username: &str) -> Value {
    json!({ "command": "enableClient", "username": username })
}

pub fn create_role(name: &str, note: &str) -> Value {
    json!({ "command": "createRole", "rolename": name, "textdescription": note })
}

pub fn delete_role(name: &str) -> Value {
    json!({ "command": "deleteRole", "rolename": name })
}

pub fn add_role(username: &str, name: &str) -> Value {
    json!({ "command": "addClientRole", "username": username, "rolename": name })
}

pub fn remove_role(username: &str, name: &str) -> Value {
    json!({ "command": "removeClientRole", "username": username, "rolename": name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::FailureKind;

    fn answer(entry: &str) -> Answer {
        Answer::read(&serde_json::from_str(entry).unwrap())
    }

    #[test]
    fn an_account_is_read() {
        let text = r#"{"command":"getClient","data":{"client":{"username":"cam-1","disabled":true,
            "roles":[{"rolename":"device"},{"rolename":"vedette:a1"}],"groups":[]}},"correlationData":"1"}"#;
        let account = account(&answer(text)).unwrap().unwrap();
        assert!(account.disabled && account.has("device"));
        assert_eq!(account.marks().collect::<Vec<_>>(), ["vedette:a1"]);
    }

    #[test]
    fn errors_are_in_the_answer() {
        let missing = answer(r#"{"command":"getClient","error":"Client not found"}"#);
        assert_eq!(account(&missing), Ok(None));
        assert!(done(&missing, &[CLIENT_NOT_FOUND]).is_ok());
        let unknown = answer(r#"{"command":"getClient","error":"Unknown command"}"#);
        assert_eq!(account(&unknown).unwrap_err().kind, FailureKind::Refused);
        let odd = answer(r#"{"command":"disableClient","error":17}"#);
        assert!(done(&odd, &[]).is_err());
        assert!(account(&answer(r#"{"command":"getClient"}"#)).is_err());
    }
}

//! Keys whose values can be secrets, and what is shown of them.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Can the value of this Incus config key be a secret? cloud-init documents hold passwords and keys, environment
/// variables hold tokens.
pub(crate) fn can_be_secret(key: &str) -> bool {
    key.starts_with("environment.")
        || matches!(
            key,
            "cloud-init.user-data"
                | "cloud-init.vendor-data"
                | "cloud-init.network-config"
                | "user.user-data"
                | "user.vendor-data"
                | "user.network-config"
                | "user.meta-data"
        )
        || key.starts_with("cloud-init.ssh-keys.")
}

/// What is shown for the value of a key that can hold a secret; `None` where the value itself may be shown.
pub(crate) fn digest_of_secret(key: &str, value: &str) -> Option<String> {
    can_be_secret(key).then(|| digest(value))
}

/// `(29 bytes, sha256 1f2e3d4c)`: enough to see that a value changed, not what it is.
fn digest(value: &str) -> String {
    let sum = Sha256::digest(value.as_bytes());
    format!("({} bytes, sha256 {:02x}{:02x}{:02x}{:02x})", value.len(), sum[0], sum[1], sum[2], sum[3])
}

/// A body with its secrets replaced.
pub(crate) fn hidden(body: &Value, hide: &impl Fn(&str, &str) -> Option<String>) -> Value {
    match body {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let shown = match value.as_str().and_then(|text| hide(key, text)) {
                        Some(shown) => Value::String(shown),
                        None => hidden(value, hide),
                    };
                    (key.clone(), shown)
                })
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(|item| hidden(item, hide)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_as_its_length_and_digest() {
        let shown = digest_of_secret("environment.TOKEN", "hunter2").unwrap();
        assert_eq!(shown, "(7 bytes, sha256 f52fbd32)");
        assert_eq!(digest_of_secret("limits.cpu", "2"), None);
    }
}

//! The product files that come along.

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each.
        pub const PRODUCTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../gateways/", $name, ".toml")))),*];
    };
}

shipped![
    "aruba-clearpass",
    "azure-iot-hub",
    "cisco-ise",
    "crowdsec",
    "emqx5",
    "fortigate",
    "hivemq",
    "kubernetes",
    "omada",
    "opnsense",
    "packetfence",
    "pfsense",
    "thingsboard",
    "unifi",
];

/// # Errors
/// None of that name is shipped.
pub fn source(name: &str) -> Result<&'static str, crate::error::Error> {
    let found = PRODUCTS.iter().find(|(shipped, _)| *shipped == name);
    found.map(|(_, source)| *source).ok_or_else(|| {
        let names: Vec<String> = PRODUCTS.iter().map(|(name, _)| format!("`{name}`")).collect();
        let names = names.join(", ");
        crate::error::Error::Wrong(format!(
            "product `{name}` is unknown, expected one of {names}, or `product_file` with a file of one's own"
        ))
    })
}

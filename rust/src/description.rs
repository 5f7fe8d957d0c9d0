//! The description in a shard's metadata, as far as windows need it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::hold::Clock;

/// The format's name in the metadata.
const FORMAT: &str = "omnimouse-shard";
/// The version that this crate reads.
const VERSION: &str = "1";

/// What a shard says of itself.
#[derive(Debug, Deserialize)]
pub struct Description {
    /// Session key.
    pub session: String,
    /// The responses.
    pub responses: Responses,
    /// The screen, if one was recorded.
    pub screen: Option<Screen>,
    /// Devices that recorded behavior.
    pub behavior: Vec<Device>,
}

/// The responses of all neurons.
#[derive(Debug, Deserialize)]
pub struct Responses {
    /// When the rows were measured.
    pub clock: Clock,
    /// Columns.
    pub num_neurons: usize,
}

/// Frames as they are stored.
#[derive(Debug, Deserialize)]
pub struct Screen {
    /// Rows of a frame.
    pub frame_height: usize,
    /// Columns of a frame.
    pub frame_width: usize,
}

/// One device that recorded behavior.
#[derive(Debug, Deserialize)]
pub struct Device {
    /// The signal's name.
    pub name: String,
    /// When the rows were measured.
    pub clock: Clock,
    /// Names of the columns.
    pub channels: Vec<String>,
    /// Mean of each column on the statistics tier.
    pub mean: Vec<f64>,
    /// Standard deviation of each column on the statistics tier.
    pub std: Vec<f64>,
}

/// Read the description out of a file's metadata.
///
/// # Errors
/// The reason why the file is no shard that this crate can read.
pub fn parse(metadata: &BTreeMap<String, String>) -> Result<Description, String> {
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err("it is not a shard: its metadata do not say omnimouse-shard".into());
    }
    match metadata.get("version").map(String::as_str) {
        Some(VERSION) => {}
        found => {
            let found = found.unwrap_or("none");
            return Err(format!(
                "it has format version {found}; this omnimouse reads version {VERSION}"
            ));
        }
    }
    let text = metadata.get("description").ok_or("it has no description")?;
    let description: Description = serde_json::from_str(text)
        .map_err(|error| format!("its description cannot be read: {error}"))?;
    check(&description)?;
    Ok(description)
}

fn check(description: &Description) -> Result<(), String> {
    description
        .responses
        .clock
        .check()
        .map_err(|why| format!("responses: {why}"))?;
    if description.responses.num_neurons == 0 {
        return Err("responses: there is no neuron".into());
    }
    for device in &description.behavior {
        let name = &device.name;
        device
            .clock
            .check()
            .map_err(|why| format!("{name}: {why}"))?;
        let channels = device.channels.len();
        if device.mean.len() != channels || device.std.len() != channels {
            return Err(format!("{name}: a mean or deviation is missing"));
        }
        if device.std.iter().any(|std| *std <= 0.0) {
            return Err(format!("{name}: a standard deviation is not positive"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"session": "1-1-1", "animal": "1",
        "responses": {"clock": {"start_seconds": 0, "rate_hz": 8.0, "num_samples": 4},
                      "num_neurons": 2}, "screen": null,
        "behavior": [{"name": "treadmill", "channels": ["running"], "mean": [0.5], "std": [2],
                      "clock": {"start_seconds": 0.01, "rate_hz": 100, "num_samples": 50}}]}"#;

    fn metadata(format: &str, version: &str, text: &str) -> BTreeMap<String, String> {
        [
            ("format", format),
            ("version", version),
            ("description", text),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    #[test]
    fn a_description_is_read() {
        let description = parse(&metadata(FORMAT, VERSION, GOOD)).expect("a good description");
        assert_eq!(description.responses.num_neurons, 2);
        assert_eq!(description.behavior[0].channels, ["running"]);
        assert!(description.screen.is_none());
    }

    #[test]
    fn other_formats_and_versions_are_refused() {
        for (format, version, word) in [("pt", VERSION, "not a shard"), (FORMAT, "2", "version 2")]
        {
            let reason = parse(&metadata(format, version, GOOD)).expect_err(word);
            assert!(reason.contains(word), "{reason}");
        }
        assert!(parse(&BTreeMap::new()).is_err());
    }

    #[test]
    fn impossible_values_are_refused() {
        let cases = [
            ("\"rate_hz\": 8.0", "\"rate_hz\": 0.0", "rate_hz"),
            ("\"rate_hz\": 100", "\"rate_hz\": -1", "treadmill"),
            ("[2]", "[0]", "deviation"),
            ("[2]", "[2, 3]", "deviation"),
            ("\"num_neurons\": 2", "\"num_neurons\": -2", "description"),
            ("\"num_neurons\": 2", "\"num_neurons\": 0", "no neuron"),
            ("\"session\"", "\"sesion\"", "session"),
        ];
        for (from, to, word) in cases {
            let text = GOOD.replace(from, to);
            let reason = parse(&metadata(FORMAT, VERSION, &text)).expect_err(to);
            assert!(reason.contains(word), "{reason}");
        }
    }
}

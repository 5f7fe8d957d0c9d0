//! The description in a shard's metadata, as far as windows need it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::sample_and_hold::Clock;

/// The description of a session.
#[derive(Debug, Deserialize)]
pub struct Description {
    /// Session key.
    pub session: String,
    /// The responses.
    pub responses: Responses,
    /// The screen; None if none was recorded.
    pub screen: Option<Screen>,
    /// Behavior devices.
    pub behavior: Vec<Device>,
}

/// Responses of all neurons.
#[derive(Debug, Deserialize)]
pub struct Responses {
    /// Sample times of the rows.
    pub clock: Clock,
    /// Columns of the responses.
    pub num_neurons: usize,
}

/// The size of stored frames.
#[derive(Debug, Deserialize)]
pub struct Screen {
    /// Rows of a frame.
    pub frame_height: usize,
    /// Columns of a frame.
    pub frame_width: usize,
}

/// One behavior device.
#[derive(Debug, Deserialize)]
pub struct Device {
    /// The signal's name.
    pub name: String,
    /// Sample times of the rows.
    pub clock: Clock,
    /// Names of the columns.
    pub channels: Vec<String>,
    /// Mean of each column on the statistics tier.
    pub mean: Vec<f64>,
    /// Standard deviation of each column on the statistics tier.
    pub std: Vec<f64>,
}

/// Parse and check the description in the metadata of a header.
///
/// # Errors
/// The value that is missing or impossible.
pub fn parse(metadata: &BTreeMap<String, String>) -> Result<Description, String> {
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

    fn metadata(text: &str) -> BTreeMap<String, String> {
        [("description".into(), text.into())].into()
    }

    #[test]
    fn a_description_is_parsed() {
        let description = parse(&metadata(GOOD)).expect("a good description");
        assert_eq!(description.responses.num_neurons, 2);
        assert_eq!(description.behavior[0].channels, ["running"]);
        assert!(description.screen.is_none());
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
            let reason = parse(&metadata(&text)).expect_err(to);
            assert!(reason.contains(word), "{reason}");
        }
    }
}

//! Packets of every kind in a bed: what sends them, hears them arrive and tells of it (`tests/e2e/agent`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::bed::Bed;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/agent/agent.py");

/// Who sends and hears packets; ends with this value.
pub(crate) struct Agent {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts it in a bed. A place is the host, or a network namespace with one card; a name stands for an address of
    /// each family.
    pub(crate) fn start(bed: &Bed, places: &Value, addresses: &Value) -> Self {
        // -B: it runs from the sources, and leaves nothing there.
        let mut command = bed.command("exec", &["python3", "-B", PROGRAM]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut agent = Self { child, requests, answers };
        agent.ask("places", &json!({ "places": places, "addresses": addresses }));
        agent
    }

    /// Asks it something, and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &str, details: &Value) -> Value {
        let mut request = json!({ "do": request });
        request.as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
        writeln!(self.requests, "{request}").expect("the agent still listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the agent still speaks");
        serde_json::from_str(&answer)
            .expect("the agent answers; what it says on its standard error tells why it does not")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

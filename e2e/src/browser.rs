//! A real browser without a window: Chromium, driven over WebDriver (W3C, *WebDriver*; the session's endpoints by name).
//! It reaches 127.0.0.1 and nothing else.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine as _;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

use crate::deadline::{PATIENCE, eventually};
use crate::process::Process;

/// The member that holds an element's id (W3C WebDriver, *Elements*).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    http: Client,
    session: String,
    folder: PathBuf,
    // Its end is the browser's: see --remote-debugging-pipe.
    _driver: Process,
}

/// Something on the page.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Browser {
    /// Starts a browser that keeps everything it writes in this folder.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        crate::install_tls();
        let home = folder.join("browser");
        std::fs::create_dir_all(&home)?;
        let own = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", home.to_string_lossy().into_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let mut driver = Process::start_file(
            &installed("chromedriver")?,
            &["--port=0"],
            &own,
            &folder.join("chromedriver.log"),
        )?;
        let port: u16 = driver
            .said(|log| {
                let (_, rest) = log.split_once("started successfully on port ")?;
                rest.split_once('.')?.0.parse().ok()
            })
            .await?;
        let mut browser = Self {
            http: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            session: format!("http://127.0.0.1:{port}/session"),
            folder: folder.to_owned(),
            _driver: driver,
        };
        let capabilities = capabilities(&installed("chromium")?, &home.join("profile"));
        let made = browser
            .ask(Method::POST, "", &capabilities)
            .await
            .context("the browser does not start")?;
        let id = made["sessionId"].as_str().context("no session")?;
        browser.session = format!("{}/{id}", browser.session);
        Ok(browser)
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) -> anyhow::Result<()> {
        self.ask(Method::POST, "/url", &json!({ "url": url }))
            .await?;
        Ok(())
    }

    /// The first element that this CSS selector finds and that is shown, as soon as there is one.
    pub async fn find(&self, css: &str) -> anyhow::Result<Element> {
        self.find_where(css, "").await
    }

    /// The same among those whose text contains this one.
    pub async fn find_where(&self, css: &str, text: &str) -> anyhow::Result<Element> {
        let script = "return [...document.querySelectorAll(arguments[0])]
            .find(one => one.checkVisibility() && one.textContent.includes(arguments[1]))";
        eventually(PATIENCE, &format!("{css} with \"{text}\""), async || {
            let found = self.run(script, &json!([css, text])).await?;
            anyhow::Ok(found[ELEMENT].as_str().map(|id| Element(id.to_owned())))
        })
        .await
    }

    /// Waits until this CSS selector finds nothing.
    pub async fn gone(&self, css: &str) -> anyhow::Result<()> {
        let script = "return document.querySelector(arguments[0]) === null";
        eventually(PATIENCE, &format!("no {css}"), async || {
            let gone = self.run(script, &json!([css])).await?;
            anyhow::Ok((gone == true).then_some(()))
        })
        .await
    }

    /// Clicks it, as soon as nothing lies over it.
    pub async fn click(&self, element: &Element) -> anyhow::Result<()> {
        let path = format!("/element/{}/click", element.0);
        eventually(PATIENCE, "a click", async || {
            self.ask(Method::POST, &path, &json!({})).await.map(Some)
        })
        .await?;
        Ok(())
    }

    /// Clicks the first that this CSS selector finds now, if there is one.
    pub async fn click_if_there(&self, css: &str) -> anyhow::Result<()> {
        let script = "document.querySelector(arguments[0])?.click()";
        self.run(script, &json!([css])).await?;
        Ok(())
    }

    /// Types this text in place of what it holds.
    pub async fn fill(&self, element: &Element, text: &str) -> anyhow::Result<()> {
        // Control and a, control up again; as keys, so that the page sees a person typing.
        let keys = format!("\u{e009}a\u{e000}{text}");
        let path = format!("/element/{}/value", element.0);
        self.ask(Method::POST, &path, &json!({ "text": keys }))
            .await?;
        Ok(())
    }

    /// The text that it shows.
    pub async fn text(&self, element: &Element) -> anyhow::Result<String> {
        let text = self
            .ask(
                Method::GET,
                &format!("/element/{}/text", element.0),
                &Value::Null,
            )
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// What a script returns; the arguments are a JSON array.
    pub async fn run(&self, script: &str, arguments: &Value) -> anyhow::Result<Value> {
        let body = json!({ "script": script, "args": arguments });
        self.ask(Method::POST, "/execute/sync", &body).await
    }

    /// Writes what is to be seen into the folder, as `name.png`.
    pub async fn screenshot(&self, name: &str) -> anyhow::Result<PathBuf> {
        let picture = self.ask(Method::GET, "/screenshot", &Value::Null).await?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().context("no picture")?)?;
        let file = self.folder.join(name).with_extension("png");
        std::fs::write(&file, bytes)?;
        Ok(file)
    }

    /// What the page has complained about on the console since the last call, a refused or failed load too.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.log("browser").await?;
        Ok(entries
            .iter()
            .filter(|entry| {
                ["SEVERE", "WARNING"]
                    .iter()
                    .any(|bad| entry["level"] == *bad)
            })
            .filter_map(|entry| entry["message"].as_str().map(str::to_owned))
            .collect())
    }

    /// Every address that the page has asked for since the last call.
    pub async fn requested(&self) -> anyhow::Result<Vec<Url>> {
        let mut urls = Vec::new();
        for entry in self.log("performance").await? {
            let text = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(text)?;
            let event = &event["message"];
            if event["method"] == "Network.requestWillBeSent" {
                let url = event["params"]["request"]["url"].as_str();
                urls.push(url.context("a request without an address")?.parse()?);
            }
        }
        Ok(urls)
    }

    async fn log(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let log = self
            .ask(Method::POST, "/se/log", &json!({ "type": kind }))
            .await?;
        Ok(log.as_array().cloned().unwrap_or_default())
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(body);
        }
        let mut answer: Value = request.send().await?.json().await?;
        let value = answer["value"].take();
        if let Some(error) = value["error"].as_str() {
            bail!("{path}: {error}: {}", value["message"]);
        }
        Ok(value)
    }
}

pub(crate) fn installed(program: &str) -> anyhow::Result<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file());
    found.with_context(|| format!("{program} is missing; say: e2e/tools.sh"))
}

fn capabilities(program: &Path, profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless=new",
        // Chromium's sandbox does not work for root, and the pages are our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        // The browser ends with the pipe, whatever becomes of the driver.
        "--remote-debugging-pipe",
        "--window-size=1280,1600",
        &profile,
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": program, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    } } })
}

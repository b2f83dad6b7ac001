use gridmux_tokio::Grid;
use gridmux_tokio::auth::SharedSecret;
use gridmux_tokio::payload::Payload;
use gridmux_tokio::route::Unary;
use std::time::{Duration, Instant};
const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let inline = std::env::args().any(|a| a == "inline");
    let names: Vec<String> = (0..2).map(|_| format!("http://127.0.0.1:{}", free())).collect();
    let mut grids = vec![];
    for n in &names {
        let b = Grid::builder(n.clone())
            .peers(names.clone())
            .auth(SharedSecret::new("0123456789abcdef0123").unwrap());
        let b = if inline {
            b.serve_inline(ECHO, |p: Payload, _: &_| Ok::<_, String>(p))
        } else {
            b.serve(ECHO, |p, _| async move { Ok::<_, String>(p) })
        };
        grids.push(b.bind(n.strip_prefix("http://").unwrap()).await.unwrap());
    }
    for g in &grids {
        g.connected(Duration::from_secs(5)).await.unwrap();
    }
    let peer = grids[0].peer(&names[1]).unwrap();
    for callers in [1usize, 16, 64, 256] {
        let start = Instant::now();
        let end = start + Duration::from_millis(1500);
        let mut js = vec![];
        for _ in 0..callers {
            let peer = peer.clone();
            js.push(tokio::spawn(async move {
                let p = Payload::from(vec![7u8; 512]);
                let mut n = 0u64;
                while Instant::now() < end {
                    peer.call(ECHO, &p).await.unwrap();
                    n += 1;
                }
                n
            }));
        }
        let mut n = 0;
        for j in js {
            n += j.await.unwrap();
        }
        println!("{callers}: {:.1} k/s", n as f64 / start.elapsed().as_secs_f64() / 1e3);
    }
    println!("{:?}", peer.stats());
    for g in &grids {
        g.shutdown(Duration::from_secs(1)).await;
    }
}

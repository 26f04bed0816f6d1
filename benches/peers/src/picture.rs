//! The table's two most telling columns as bars: what a dead endpoint is asked, and what a request
//! costs.

use std::fmt::Write as _;

use crate::row::Row;

const HEIGHT: usize = 30;
const BARS: f64 = 250.0;

pub fn of(rows: &[Row]) -> String {
    let rows: Vec<_> =
        rows.iter().filter_map(|row| Some((row, row.failures.as_ref()?.down as f64))).collect();
    let most_down = rows.iter().map(|row| row.1).fold(1.0, f64::max);
    let most_instructions = rows.iter().map(|row| row.0.instructions).fold(1.0, f64::max);
    let height = 70 + HEIGHT * rows.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 880 {height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"880\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"200\" y=\"28\" font-weight=\"bold\">Endpoint down, 1,000 callers:</text>\n\
         <text x=\"200\" y=\"46\">token requests</text>\n\
         <text x=\"540\" y=\"28\" font-weight=\"bold\">A request that finds a token:</text>\n\
         <text x=\"540\" y=\"46\">instructions beyond those without a layer</text>\n"
    );
    for (n, (row, down)) in rows.into_iter().enumerate() {
        let y = 62 + HEIGHT * n;
        let name = row.name.replace(['*', '`'], "");
        let color = if name.starts_with("tower-oauth") { "#1b6ca8" } else { "#b0b7bf" };
        let _ = writeln!(svg, "<text x=\"190\" y=\"{}\" text-anchor=\"end\">{name}</text>", y + 15);
        for (x, value, most) in
            [(200.0, down, most_down), (540.0, row.instructions, most_instructions)]
        {
            let width = (value / most * BARS).max(2.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width:.0}\" height=\"20\" fill=\"{color}\"/>\
                 <text x=\"{:.0}\" y=\"{}\">{value:.0}</text>",
                x + width + 6.0,
                y + 15,
            );
        }
    }
    svg + "</svg>\n"
}

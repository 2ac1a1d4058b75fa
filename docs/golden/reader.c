/* Computes what a file of `moe golden` holds, from its weights: cc reader.c -lm && ./a.out FILE.json
   Gate and experts of every family; a difference has the name of what its token tests. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define MOST 64 /* experts, and numbers of a row */
static char *text;
static int D, F, E, K, groups, reached, best_of, gated;
static double eps, floor_, scale, alpha, limit, plus, tolerance;
/* Keys stand once before the configuration, which comes last. */
static char *find(const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    char *at = strstr(text, quoted);
    return at ? at + strlen(quoted) : NULL;
}
static double number(const char *at, char **end) { /* null is NaN, true is 1 */
    int word = *at == 'n' ? 4 : *at == 't' ? 4 : *at == 'f' ? 5 : 0;
    if (!word) return strtod(at, end);
    *end = (char *)at + word;
    return *at == 'n' ? NAN : *at == 't';
}
static double value(const char *key) { char *end; return number(find(key), &end); }
static int is(const char *key, const char *word) { return !strncmp(find(key) + 1, word, strlen(word)); }
static double *array(const char *key) { /* a flat list; NULL if the file has none of this name */
    char *at = find(key);
    if (!at) return NULL;
    double *list = NULL;
    for (int n = 0; *at != ']' && at[1] != ']'; n++) {
        if (n % 1024 == 0) list = realloc(list, (n + 1024) * sizeof *list);
        list[n] = number(at + 1, &at);
    }
    return list;
}
static double sigmoid(double v) { return 1 / (1 + exp(-v)); }
static void softmax(const double *v, int n, double *out) {
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) top = v[i] > top || v[i] != v[i] ? v[i] : top;
    for (int i = 0; i < n; i++) sum += out[i] = exp(v[i] - top);
    for (int i = 0; i < n; i++) out[i] /= sum;
}
/* Places of the k largest values, best first; of equal ones the lower comes first. */
static void best(const double *v, int n, int k, int *place) {
    char taken[MOST] = {0};
    for (int j = 0; j < k; j++) {
        int at = -1;
        for (int i = 0; i < n; i++) if (!taken[i] && (at < 0 || v[i] > v[at])) at = i;
        taken[place[j] = at] = 1;
    }
}
static void gate(const double *logits, const double *bias, int *experts, double *weights) {
    double scores[MOST], select[MOST], worth[MOST], sum = eps;
    int order[MOST], reach[MOST] = {0}, size = E / groups;
    softmax(logits, E, scores);
    for (int e = 0; e < E; e++) {
        if (is("score", "sigmoid")) scores[e] = sigmoid(logits[e]);
        if (is("score", "sqrt")) scores[e] = sqrt(fmax(logits[e], 0) + log1p(exp(-fabs(logits[e]))));
        select[e] = scores[e] + (bias ? bias[e] : 0);
    }
    for (int g = 0; g < groups; g++) {
        best(select + g * size, size, best_of, order);
        worth[g] = 0;
        for (int i = 0; i < best_of; i++) worth[g] += select[g * size + order[i]];
    }
    best(worth, groups, reached, order);
    for (int i = 0; i < reached; i++) reach[order[i]] = 1;
    for (int e = 0; e < E; e++) if (!reach[e / size]) select[e] = -INFINITY;
    best(select, E, K, experts);
    for (int j = 0; j < K; j++) sum += weights[j] = scores[experts[j]];
    if (value("renormalize")) for (int j = 0; j < K; j++) weights[j] /= fmax(sum, floor_);
    if (is("softmax_order", "after")) {
        for (int j = 0; j < K; j++) worth[j] = logits[experts[j]];
        softmax(worth, K, weights);
    }
    for (int j = 0; j < K; j++) weights[j] *= scale;
}
/* PhiMoE: each of two choices weighs by a softmax over those that are close to it. */
static void sparsemixer(const double *logits, double far, int *experts, double *weights) {
    double open[MOST], close[MOST];
    memcpy(open, logits, E * sizeof *open);
    for (int j = 0; j < 2; j++) {
        best(open, E, 1, experts + j);
        double top = open[experts[j]];
        for (int e = 0; e < E; e++)
            close[e] = (top - logits[e]) / fmax(fabs(logits[e]), top) > far ? -INFINITY : open[e];
        softmax(close, E, close);
        weights[j] = close[experts[j]];
        open[experts[j]] = -INFINITY;
    }
}
/* out += row times a matrix of `width` columns, plus a bias if there is one */
static void times(const double *row, int n, const double *matrix, int width, const double *bias, double *out) {
    for (int j = 0; j < width; j++) {
        out[j] += bias ? bias[j] : 0;
        for (int i = 0; i < n; i++) out[j] += row[i] * matrix[i * width + j];
    }
}
/* y += after * network(before * x); `at` is its number among those in the arrays */
static void network(const double *x, double before, double after, const double *up, const double *down, int width,
                    int at, const double *b_up, const double *b_down, double *y) {
    int H = gated ? 2 * width : width;
    double input[MOST], h[2 * MOST] = {0}, out[MOST] = {0};
    for (int i = 0; i < D; i++) input[i] = before * x[i];
    times(input, D, up + at * D * H, H, b_up ? b_up + at * H : NULL, h);
    for (int f = 0; f < width; f++) {
        double g = h[f] > limit ? limit : h[f], u = h[f + (gated ? width : 0)];
        u = u > limit ? limit : u < -limit ? -limit : u;
        h[f] = gated ? g * sigmoid(alpha * g) * (u + plus) : u < 0 ? 0 : u * u;
    }
    times(h, width, down + at * width * D, D, b_down ? b_down + at * D : NULL, out);
    for (int i = 0; i < D; i++) y[i] += after * out[i];
}
static int differs(const double *got, const double *wanted, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(wanted[i]));
    for (int i = 0; i < n; i++)
        if (isnan(wanted[i]) ? !isnan(got[i]) : !(fabs(got[i] - wanted[i]) <= tolerance * most)) return 1;
    return 0;
}
int main(int argc, char **argv) {
    FILE *file = fopen(argv[argc - 1], "rb");
    text = calloc(1, 1 << 24);
    if (!file || !fread(text, 1, (1 << 24) - 1, file)) return 2;
    D = value("d_model"), F = value("d_expert"), E = value("n_experts"), K = value("k"), gated = value("gated");
    groups = value("n_group"), reached = value("topk_group"), best_of = value("group_score_of");
    eps = value("norm_eps"), floor_ = value("norm_min"), scale = value("scale"), tolerance = value("tolerance");
    alpha = value("alpha"), limit = value("limit"), plus = value("plus");
    int tokens = value("tokens"), width = value("d_shared"), computing = E - (int)value("n_identity"), failed = 0;
    int mixes = is("router", "sparsemixer"), weighs_input = value("weigh_input");
    double *x = array("x_ND"), *l = array("logits_NE"), *c = array("choices_NK"), *w = array("weights_NK"), *y = array("y_ND");
    double *gate_DE = array("gate_DE"), *gate_bias = array("gate_bias_E"), *bias = array("select_bias_E");
    double *up = array(gated ? "w_gate_up_ED2F" : "w_up_EDF"), *down = array("w_down_EFD");
    double *b_up = array("b_gate_up_E2F"), *b_down = array("b_down_ED"), *open = array("shared_gate_D1");
    double *shared_up = array(gated ? "shared_w_gate_up_D2F" : "shared_w_up_DF"), *shared_down = array("shared_w_down_FD");
    char *name = find("names") + 2;
    for (int t = 0; t < tokens; t++, x += D, l += E, c += K, w += K, y += D) {
        double logits[MOST] = {0}, weights[MOST], chosen[MOST], out[MOST] = {0}, opened = 0;
        int experts[MOST];
        times(x, D, gate_DE, E, gate_bias, logits);
        if (mixes) sparsemixer(logits, 2 * value("jitter_eps"), experts, weights);
        else gate(logits, bias, experts, weights);
        for (int j = 0; j < K; j++) {
            double before = weighs_input ? weights[j] : 1, after = weighs_input ? 1 : weights[j];
            chosen[j] = experts[j];
            if (experts[j] < computing) network(x, before, after, up, down, F, experts[j], b_up, b_down, out);
            else for (int i = 0; i < D; i++) out[i] += weights[j] * x[i];
        }
        if (open) times(x, D, open, 1, NULL, &opened);
        if (width) network(x, 1, open ? sigmoid(opened) : 1, shared_up, shared_down, width, 0, NULL, NULL, out);
        const char *wrong = differs(logits, l, E) ? "logits" : !isnan(w[0]) && differs(chosen, c, K) ? "choices"
                          : differs(weights, w, K) ? "weights" : differs(out, y, D) ? "result" : NULL;
        char *end = strstr(name, "\",\"");
        if (!end) end = strstr(name, "\"]");
        if (wrong) failed++, printf("%.*s: %s\n", (int)(end - name), name, wrong);
        name = end + 3;
    }
    if (!failed) printf("%d tokens agree\n", tokens);
    return failed > 0;
}

/* Computes what a file of `moe golden` holds, from its weights: cc reader.c -lm && ./a.out FILE.json
   Gate and experts of every family; a difference has the name of what its token tests. Ends with 0 if
   all agree, 1 if not, and 2 for a file that is not as `moe golden` writes it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define SCHEMA "moescope-golden-1\""
#define MOST 64 /* experts, and numbers of a row */
#define MOST_TOKENS 4096
#define LONGEST (1 << 24) /* bytes of a file */
static char *text;
static int D, F, E, K, groups, reached, best_of, gated;
static double eps, floor_, scale, alpha, limit, plus, tolerance;
static void stop(const char *what, const char *why) { fprintf(stderr, "%s: %s\n", what, why); exit(2); }
/* Keys stand once before the configuration, which comes last. */
static char *find(const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    char *at = strstr(text, quoted);
    return at ? at + strlen(quoted) : NULL;
}
static char *after(const char *key) {
    char *at = find(key);
    if (!at) stop(key, "the file has none");
    return at;
}
static double number(const char *key, char **at) { /* null is NaN, true is 1 */
    static const char *words[] = {"false", "true", "null"};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (!strncmp(*at, words[i], length)) return *at += length, i < 2 ? i : NAN;
    }
    char *end;
    double found = strtod(*at, &end);
    if (end == *at) stop(key, "not a number");
    *at = end;
    return found;
}
static double value(const char *key) { char *at = after(key); return number(key, &at); }
static int whole(const char *key, int low, int high) {
    double found = value(key);
    if (!(found >= low && found <= high && found == (int)found)) stop(key, "not a whole number in range");
    return (int)found;
}
static int is(const char *key, const char *word) { return !strncmp(after(key) + 1, word, strlen(word)); }
static double *array(const char *key, int count) { /* a flat list; NULL if the file has none of this name */
    char *at = find(key);
    if (!at) return NULL;
    double *list = malloc(count * sizeof *list);
    if (!list) stop(key, "no memory");
    for (int n = 0; n < count; n++) {
        if (*at++ != (n ? ',' : '[')) stop(key, "too few numbers");
        list[n] = number(key, &at);
    }
    if (*at != ']') stop(key, "too many numbers");
    return list;
}
static double *needed(const char *key, int count) {
    after(key);
    return array(key, count);
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
    if (argc != 2) stop("usage", "one file of `moe golden`");
    FILE *file = fopen(argv[1], "rb");
    text = calloc(1, LONGEST + 2);
    size_t size = file && text ? fread(text, 1, LONGEST + 1, file) : 0;
    if (!size || size > LONGEST) stop(argv[1], "no file of up to 16 MB");
    if (size < 2 || strcmp(text + size - 2, "}\n")) stop(argv[1], "its end is missing");
    if (!is("schema", SCHEMA)) stop("schema", "another than " SCHEMA);
    D = whole("d_model", 1, MOST), F = whole("d_expert", 1, MOST), E = whole("n_experts", 1, MOST);
    K = whole("k", 1, E), gated = whole("gated", 0, 1), groups = whole("n_group", 1, E);
    if (E % groups) stop("n_group", "does not divide the experts");
    reached = whole("topk_group", 1, groups), best_of = whole("group_score_of", 1, E / groups);
    eps = value("norm_eps"), floor_ = value("norm_min"), scale = value("scale"), tolerance = value("tolerance");
    alpha = value("alpha"), limit = value("limit"), plus = value("plus");
    int tokens = whole("tokens", 1, MOST_TOKENS), width = whole("d_shared", 0, MOST), failed = 0;
    int computing = E - whole("n_identity", 0, E - 1), H = gated ? 2 * F : F;
    int mixes = is("router", "sparsemixer"), weighs_input = whole("weigh_input", 0, 1);
    if (mixes && K != 2) stop("k", "not two, as sparsemixer has it");
    double *x = needed("x_ND", tokens * D), *l = needed("logits_NE", tokens * E), *c = needed("choices_NK", tokens * K);
    double *w = needed("weights_NK", tokens * K), *y = needed("y_ND", tokens * D), *gate_DE = needed("gate_DE", D * E);
    double *gate_bias = array("gate_bias_E", E), *bias = array("select_bias_E", E);
    double *up = needed(gated ? "w_gate_up_ED2F" : "w_up_EDF", computing * D * H);
    double *down = needed("w_down_EFD", computing * F * D), *open = array("shared_gate_D1", D);
    double *b_up = array("b_gate_up_E2F", computing * H), *b_down = array("b_down_ED", computing * D);
    double *shared_up = NULL, *shared_down = NULL;
    if (width) {
        shared_up = needed(gated ? "shared_w_gate_up_D2F" : "shared_w_up_DF", D * (gated ? 2 * width : width));
        shared_down = needed("shared_w_down_FD", width * D);
    }
    char *name = after("names");
    if (strncmp(name, "[\"", 2)) stop("names", "too few");
    name += 2;
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
        if (!end) stop("names", "too few");
        if (wrong) failed++, printf("%.*s: %s\n", (int)(end - name), name, wrong);
        name = end + 3;
    }
    if (!failed) printf("%d tokens agree\n", tokens);
    return failed > 0;
}

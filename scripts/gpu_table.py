"""What scripts/gpu_check.py found, as text: every step, then every figure, a line each."""


def show(value, form: str) -> str:
    return "-" if value is None else format(value, form)


def print_nodes(title: str, row: dict) -> None:
    if not row.get("nodes"):
        return
    longest = sorted(row["nodes"], key=lambda node: -node["seconds"])[:5]
    print(f"{title}, node by node: {1e3 * row['nodes_s']:.3f} ms; optimizer {row['update_share']:.1%}, all-reduce {row['all_reduce_share']:.1%} of "
          "them; the longest: " + ", ".join(f"{node['node']} {node['share']:.1%}" for node in longest))


def print_quick(result: dict) -> None:
    for row in result.get("throughput", []):
        title = f"{row['precision']} batch {row['batch']}"
        print(f"{title}: {show(row['samples_per_s'], '.1f')} samples/s; upload {show(row.get('upload_ms'), '.2f')} ms a step, "
              f"{show(row.get('upload_exposed_ms'), '.2f')} ms of it not hidden")
        print_nodes(title, row)
    for key, title in (("streamed", "not captured"), ("autotuned", "engines timed")):
        if row := result.get(key):
            print(f"{row['precision']} batch {row['batch']}, {title}: {show(row['samples_per_s'], '.1f')} samples/s")
            print_nodes(title, row)
    for row in result.get("engine_alternatives", []):
        print(f"{row['graph']}: " + ", ".join(f"{engine} {show(ms, '.3f')} ms" for engine, ms in row["engines_ms"].items()))


def print_beside_torch(result: dict) -> None:
    rows = result.get("beside_torch")
    if not rows:
        return
    print(f"\n{'precision':<10}{'batch':>6}{'trainmark':>12}{'PyTorch':>12}{'ratio':>8}{'matrix':>9}{'copy':>9}{'floor':>9}{'sheet':>9}{'upload':>9}{'exposed':>9}"
          "  PyTorch's form   (samples/s; shares of what was measured here and of the data sheet's floor; ms of upload a step, and not hidden by one)")
    for row in sorted(rows, key=lambda row: (row["precision"], row["batch"])):
        shares = "".join(f"{show(row.get(key), '.1%'):>9}" for key in ("matrix_share", "copy_share", "floor_share", "data_sheet_share"))
        uploads = "".join(f"{show(row.get(key), '.2f'):>9}" for key in ("upload_ms", "upload_exposed_ms"))
        print(f"{row['precision']:<10}{row['batch']:>6}{show(row['trainmark'], '.1f'):>12}{show(row['torch'], '.1f'):>12}"
              f"{show(row['ratio'], '.2f'):>8}{shares}{uploads}  {row['torch_best_form'] or '-'}")


def print_table(result: dict) -> None:
    print(f"\n{'step':<44}{'':>10}{'seconds':>10}")
    for step in result["steps"]:
        print(f"{step['step']:<44}{step['state']:>10}{step['seconds']:>10.1f}  {step['note'][:60]}")
    if plans := result.get("plans_made_anew"):
        print(f"\n{plans['count']} kept plans were not taken and made anew; the first: {plans['first'][0]}")
    print()
    print_quick(result)
    if ceilings := result.get("ceilings"):
        print(f"ceilings: copy {ceilings.get('copy_gb_per_s')} GB/s, matrix rates in TFLOP/s {ceilings.get('matrix_tflops')}")
    print_beside_torch(result)
    if cost := result.get("deterministic_cost"):
        print(f"bf16 batch {cost['batch']}, deterministic: trainmark {show(cost['deterministic'], '.1f')} samples/s; a step takes "
              f"{show(cost['step_ratio'], '.2f')} times as long as without ({show(cost['plain'], '.1f')} samples/s)")
